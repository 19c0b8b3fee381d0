#include "plan/recipe_diff.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "core/error.h"
#include "core/units.h"
#include "model/tensor_names.h"
#include "plan/block_matrices.h"

namespace plasticity {
namespace {

using Indices = std::vector<std::int32_t>;

void require_same_shape(const Topology& a, const Topology& b) {
    const auto shape = [](const Topology& topology) {
        return fmt::format("{} blocks of {} query and {} KV heads of {}", topology.layers.size(),
                           topology.original_num_heads, topology.original_num_kv_heads, topology.head_dim);
    };
    if (shape(a) != shape(b))
        throw Error(ErrorKind::kUsage, fmt::format("diff: recipes for models of two shapes: {}, and {}; expected two "
                                                   "plans for one model",
                                                   shape(a), shape(b)));
}

std::string bytes_text(std::uint64_t bytes) {
    return fmt::format("{} ({})", bytes, format_bytes(bytes));
}

/// What a recipe states once, in the order of its file.
std::vector<std::pair<std::string, std::string>> statements_of(const Recipe& recipe) {
    const Budget& budget = recipe.budget;
    return {{"base model", recipe.base_model},
            {"base model's SHA-256", recipe.base_model_sha256},
            {"pipeline version", recipe.pipeline_version},
            {"policy", recipe.policy},
            {"pruning", recipe.pruning},
            {"padding", padding_text(recipe.padding)},
            {"input columns", recipe.pads_columns() ? "padded where a type wants it" : ""},
            {"alignment", recipe.alignment},
            {"channels", recipe.channels_text()},
            {"error feedback", recipe.counts_on_feedback ? "counted on" : ""},
            {"predicted KL", recipe.predicted_kl ? fmt::format("{:.4g} nats per token", *recipe.predicted_kl) : ""},
            {"context", fmt::format("{} tokens", recipe.context_length)},
            {"KV cache type", recipe.kv_type},
            {"output architecture", recipe.output_architecture},
            {"stock llama.cpp", recipe.stock ? "yes" : "no"},
            {"device", recipe.device ? recipe.device->label : ""},
            {"embedding and output", bytes_text(budget.embedding_bytes)},
            {"attention", bytes_text(budget.attention_bytes)},
            {"feed-forward", bytes_text(budget.mlp_bytes)},
            {"norms and biases", bytes_text(budget.norm_bytes)},
            {"KV cache", bytes_text(budget.kv_cache_max_bytes)},
            {"compute", bytes_text(budget.compute_bytes)},
            {"run time, total", bytes_text(budget.total_bytes)},
            {"file", bytes_text(budget.file_bytes)},
            {"limit", bytes_text(budget.limit_bytes)}};
}

std::vector<StatementDiff> diff_statements(const Recipe& a, const Recipe& b) {
    const auto of_a = statements_of(a), of_b = statements_of(b);
    std::vector<StatementDiff> found;
    for (std::size_t i = 0; i < of_a.size(); ++i)
        if (of_a[i].second != of_b[i].second) found.push_back({of_a[i].first, of_a[i].second, of_b[i].second});
    return found;
}

/// Both ascending.
Indices only_in(const Indices& some, const Indices& others) {
    Indices found;
    std::ranges::set_difference(some, others, std::back_inserter(found));
    return found;
}

/// A layer that lists no channels has them all.
std::int32_t n_channels_only_in(const LayerTopology& some, const LayerTopology& other) {
    if (!other.feed_forward) return 0;
    if (!some.feed_forward) return other.feed_forward->original_channels - other.feed_forward->n_retained();
    return n_only_in(*some.feed_forward, *other.feed_forward);
}

std::vector<LayerDiff> diff_layers(const Topology& a, const Topology& b) {
    std::vector<LayerDiff> found;
    for (std::size_t i = 0; i < a.layers.size(); ++i) {
        const LayerTopology &of_a = a.layers[i], &of_b = b.layers[i];
        if (of_a.retained_head_indices == of_b.retained_head_indices &&
            of_a.retained_kv_head_indices == of_b.retained_kv_head_indices && of_a.feed_forward == of_b.feed_forward)
            continue;
        found.push_back({of_a.layer_index, only_in(of_a.retained_head_indices, of_b.retained_head_indices),
                         only_in(of_b.retained_head_indices, of_a.retained_head_indices),
                         only_in(of_a.retained_kv_head_indices, of_b.retained_kv_head_indices),
                         only_in(of_b.retained_kv_head_indices, of_a.retained_kv_head_indices),
                         n_channels_only_in(of_a, of_b), n_channels_only_in(of_b, of_a)});
    }
    return found;
}

/// The matrices of every block, the embeddings, and what else a recipe spells out, as experts.
std::vector<std::string> matrices_of(const Recipe& a, const Recipe& b) {
    std::vector<std::string> names{hf_name({TensorRole::kTokenEmbedding}), hf_name({TensorRole::kOutput})};
    for (const LayerTopology& layer : a.topology.layers)
        for (const TensorRole role : kBlockMatrices) names.push_back(hf_name({role, layer.layer_index}));
    for (const Recipe* recipe : {&a, &b})
        for (const QuantAssignment& assignment : recipe->tensor_quant_map)
            if (assignment.pattern.find_first_of("*?") == std::string::npos &&
                std::ranges::find(names, assignment.pattern) == names.end())
                names.push_back(assignment.pattern);
    return names;
}

std::optional<ggml_type> type_of(const Recipe& recipe, const std::string& matrix) {
    const QuantAssignment* assignment = recipe.assignment_for(matrix);
    return assignment != nullptr ? std::optional(assignment->type) : std::nullopt;
}

std::vector<TypeDiff> diff_types(const Recipe& a, const Recipe& b) {
    std::vector<TypeDiff> found;
    for (const std::string& matrix : matrices_of(a, b)) {
        const TypeDiff types{matrix, type_of(a, matrix), type_of(b, matrix)};
        if (types.a != types.b) found.push_back(types);
    }
    return found;
}

std::string name_of(const std::optional<ggml_type>& type) {
    return type ? ggml_type_name(*type) : "none";
}

std::string heads_text(const char* what, const Indices& only_a, const Indices& only_b) {
    std::string text;
    if (!only_a.empty()) text += fmt::format("; {} only in A: {}", what, fmt::join(only_a, " "));
    if (!only_b.empty()) text += fmt::format("; {} only in B: {}", what, fmt::join(only_b, " "));
    return text;
}

std::string channels_text(const LayerDiff& layer) {
    std::string text;
    if (layer.n_channels_only_in_a > 0)
        text += fmt::format("; {} feed-forward channels only in A", layer.n_channels_only_in_a);
    if (layer.n_channels_only_in_b > 0)
        text += fmt::format("; {} feed-forward channels only in B", layer.n_channels_only_in_b);
    return text;
}

}  // namespace

RecipeDiff diff(const Recipe& a, const Recipe& b) {
    require_same_shape(a.topology, b.topology);
    return {
        .statements = diff_statements(a, b), .layers = diff_layers(a.topology, b.topology), .types = diff_types(a, b)};
}

std::string diff_text(const RecipeDiff& difference) {
    std::vector<std::string> lines;
    for (const StatementDiff& statement : difference.statements)
        lines.push_back(fmt::format("{}: {} → {}", statement.what, statement.a.empty() ? "none" : statement.a,
                                    statement.b.empty() ? "none" : statement.b));
    for (const LayerDiff& layer : difference.layers)
        lines.push_back(fmt::format(
            "layer {}{}{}{}", layer.layer, heads_text("heads", layer.heads_only_in_a, layer.heads_only_in_b),
            heads_text("KV heads", layer.kv_heads_only_in_a, layer.kv_heads_only_in_b), channels_text(layer)));
    std::map<std::string, std::vector<std::string>> steps;
    for (const TypeDiff& type : difference.types)
        steps[fmt::format("{} → {}", name_of(type.a), name_of(type.b))].push_back(type.matrix);
    for (const auto& [step, matrices] : steps)
        lines.push_back(fmt::format("{}, {} matrices: {}", step, matrices.size(), fmt::join(matrices, " ")));
    return lines.empty() ? "no difference" : fmt::format("{}", fmt::join(lines, "\n"));
}

}  // namespace plasticity
