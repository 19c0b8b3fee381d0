#include "plan/recipe_draft.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "artifact/output_layout.h"
#include "core/version.h"
#include "engine/decoder_memory.h"
#include "model/stock_form.h"
#include "plan/assignments.h"
#include "plan/calibration.h"
#include "plan/measured_choice.h"

namespace plasticity {
namespace {

std::uint64_t& part_of(Budget& budget, TensorRole role) {
    switch (role) {
        case TensorRole::kTokenEmbedding:
        case TensorRole::kOutput:
            return budget.embedding_bytes;
        case TensorRole::kQuery:
        case TensorRole::kKey:
        case TensorRole::kValue:
        case TensorRole::kAttentionOutput:
            return budget.attention_bytes;
        case TensorRole::kGate:
        case TensorRole::kUp:
        case TensorRole::kDown:
        case TensorRole::kRouter:
        case TensorRole::kExpertGates:
        case TensorRole::kExpertUps:
        case TensorRole::kExpertDowns:
            return budget.mlp_bytes;
        default:
            return budget.norm_bytes;
    }
}

/// "tiers: 12 high, 10 medium, 2 low": layers by the tier of their attention. "optimal: predicted KL 0.0113".
std::string precision_profile(const HeadPruning& heads, std::optional<double> predicted) {
    if (predicted) return fmt::format("optimal: predicted KL {:.4g} nats per token", *predicted);
    std::array<int, 4> counts{};
    for (const LayerHeads& layer : heads.layers())
        if (!layer.scores.empty()) ++counts[static_cast<std::size_t>(tier_of(layer.mean_kept_score()))];
    std::string profile;
    for (int tier = 3; tier >= 0; --tier)
        if (counts[static_cast<std::size_t>(tier)] > 0)
            profile += fmt::format("{}{} {}", profile.empty() ? "tiers: " : ", ",
                                   counts[static_cast<std::size_t>(tier)], tier_name(static_cast<Tier>(tier)));
    return profile.empty() ? "tiers: no attention" : profile;
}

Topology topology_of(const PlanInputs& inputs, const HeadPruning& heads, std::optional<double> predicted) {
    const Architecture& base = inputs.model.architecture();
    Topology topology;
    topology.base_model = base.model_name;
    topology.layers = heads.topology();
    for (const LayerGeometry& layer : base.layers) {
        topology.original_num_heads = std::max(topology.original_num_heads, layer.n_head);
        topology.original_num_kv_heads = std::max(topology.original_num_kv_heads, layer.n_head_kv);
    }
    topology.head_dim = base.head_dim;
    const double kept =
        static_cast<double>(output_parameters(inputs.model, heads)) / static_cast<double>(weight_count(inputs.model));
    topology.parameter_reduction = 1 - kept;
    topology.precision_profile = precision_profile(heads, predicted);
    return topology;
}

double predicted_kl(const MeasuredDamage& damage, const HeadPruning& heads, const std::vector<MatrixChoice>& choices) {
    double sum = damage.of_removed(heads);
    for (const MatrixChoice& choice : choices) sum += choice.damage();
    return sum;
}

/// Measured divergence of the plan that was tried, and the calibration's curve from there to this one.
void take_into_account(const TrialFindings& findings, Recipe& recipe) {
    recipe.refinement = findings.refinement;
    if (!findings.calibration) return;
    recipe.calibration = findings.calibration;
    recipe.predicted_damage = recipe.predicted_kl;
    const CalibratedKl calibrated = calibrated_kl(*findings.calibration, *recipe.predicted_damage);
    recipe.predicted_kl = calibrated.value;
    recipe.predicted_kl_error = calibrated.standard_error;
}

void describe_output(Recipe& recipe, const Architecture& base, const HeadPruning& heads) {
    const StockForm form = stock_form(base, padded_architecture(heads.pruned(base), recipe.padding));
    recipe.output_architecture = form.architecture;
    recipe.stock = form.stock;
    recipe.stock_reason = form.reason;
}

/// Nothing where no matrix has any.
void describe_padded_columns(Recipe& recipe, const std::vector<MatrixChoice>& choices) {
    const auto n =
        std::ranges::count_if(choices, [](const MatrixChoice& choice) { return choice.padded_columns() > 0; });
    if (n == 0) return;
    recipe.stock = false;
    recipe.stock_reason = fmt::format(
        "{} of {} matrices have input columns of zeros of their own, which stock llama.cpp refuses; this program runs "
        "them",
        n, choices.size());
}

}  // namespace

double MeasuredDamage::of_removed(const HeadPruning& pruning) const {
    double sum = kTogether * pruning.channels().damage();
    for (std::size_t layer = 0; layer < heads.size(); ++layer) sum += of_removed(layer, pruning.layers()[layer]);
    return sum;
}

double MeasuredDamage::of_removed(std::size_t layer, const LayerHeads& of_layer) const {
    const bool is_made_up_for = !compensation.empty() && !compensation[layer].heads.empty() && of_layer.n_heads() > 0;
    const HeadCompensation* made_up = is_made_up_for ? &compensation[layer] : nullptr;
    double sum = 0;
    const std::vector<std::int32_t> kept = of_layer.kept();
    for (std::size_t head = 0; head < heads[layer].size(); ++head) {
        if (std::ranges::binary_search(kept, static_cast<std::int32_t>(head))) continue;
        const auto group = static_cast<std::int32_t>(head) / of_layer.group_size();
        const bool alone = std::ranges::binary_search(of_layer.groups, group);
        const double left = made_up == nullptr ? 1
                            : alone            ? made_up->heads[head]
                                               : made_up->groups[static_cast<std::size_t>(group)];
        sum += left * heads[layer][head];
    }
    return kTogether * sum;
}

std::vector<MatrixChoice> PlanInputs::choices(const HeadPruning& heads) const {
    std::vector<MatrixChoice> made = damage != nullptr
                                         ? measured_choices(model, heads, goal, damage->types, aligned(heads))
                                         : start_choices(model, heads, goal, aligned(heads));
    if (findings == nullptr) return made;
    for (MatrixChoice& choice : made)
        if (const auto found = findings->weights.find(gguf_name(choice.id)); found != findings->weights.end())
            choice.weight = found->second;
    return made;
}

std::int64_t output_parameters(const Model& model, const HeadPruning& heads) {
    std::int64_t parameters = 0;
    for (const ModelTensor& tensor : model.tensors()) {
        const TensorShape shape = pruned_shape(tensor, heads, model.architecture().head_dim);
        parameters += shape.rows * shape.cols;
    }
    return parameters;
}

std::uint64_t limit_bytes(const PlanInputs& inputs, const HeadPruning& heads) {
    if (inputs.goal.device) return inputs.goal.device->effective_bytes();
    if (inputs.goal.target_bytes) return *inputs.goal.target_bytes;
    const auto parameters = static_cast<double>(output_parameters(inputs.model, heads));
    return static_cast<std::uint64_t>(std::floor(*inputs.goal.target_bits_per_weight * parameters / 8));
}

Budget budget_of(const PlanInputs& inputs, const HeadPruning& heads, const std::vector<MatrixChoice>& choices) {
    const auto [padding, columns] = inputs.aligned(heads);
    const Architecture output = padded_architecture(heads.pruned(inputs.model.architecture()), padding);
    Budget budget;
    for (const MatrixChoice& choice : choices) part_of(budget, choice.id.role) += choice.bytes();
    for (const ModelTensor& tensor : inputs.model.tensors()) {
        if (is_matrix(tensor.id)) continue;
        const TensorShape shape =
            padded_shape(tensor.id, pruned_shape(tensor, heads, output.head_dim), padding, output.head_dim);
        part_of(budget, tensor.id.role) += sizeof(float) * static_cast<std::uint64_t>(shape.rows * shape.cols);
    }
    budget.kv_cache_max_bytes = kv_cache_bytes(output, inputs.goal.context_length, inputs.goal.kv_type);
    budget.compute_bytes = decoder_memory(output, inputs.goal.context_length).total() +
                           (columns ? padded_input_bytes(output, inputs.goal.context_length) : 0);
    budget.total_bytes = budget.embedding_bytes + budget.attention_bytes + budget.mlp_bytes + budget.norm_bytes +
                         budget.kv_cache_max_bytes + budget.compute_bytes;
    budget.limit_bytes = limit_bytes(inputs, heads);
    return budget;
}

Recipe draft_recipe(const PlanInputs& inputs, const HeadPruning& heads, const std::vector<MatrixChoice>& choices) {
    Recipe recipe;
    if (inputs.damage != nullptr) {
        recipe.predicted_kl = predicted_kl(*inputs.damage, heads, choices);
        recipe.counts_on_feedback = inputs.damage->with_error_feedback;
    }
    if (recipe.predicted_kl && inputs.findings != nullptr) take_into_account(*inputs.findings, recipe);
    recipe.topology = topology_of(inputs, heads, recipe.predicted_kl);
    recipe.tensor_quant_map = assignments_of(choices, heads);
    recipe.device = inputs.goal.device;
    recipe.budget = budget_of(inputs, heads, choices);
    recipe.base_model = inputs.model.architecture().model_name;
    recipe.base_model_sha256 = inputs.scores.provenance.model_sha256;
    recipe.pipeline_version = kVersion;
    recipe.policy = inputs.damage != nullptr ? "optimal" : "tiers";
    recipe.pruning = inputs.pruning;
    recipe.alignment = inputs.alignment;
    recipe.equalization = inputs.goal.equalization;
    recipe.padding = inputs.aligned(heads).padding;
    recipe.context_length = inputs.goal.context_length;
    recipe.kv_type = inputs.goal.kv_type_name;
    describe_output(recipe, inputs.model.architecture(), heads);
    describe_padded_columns(recipe, choices);
    return recipe;
}

}  // namespace plasticity
