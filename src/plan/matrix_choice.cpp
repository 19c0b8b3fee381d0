#include "plan/matrix_choice.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "artifact/type_names.h"
#include "plan/knapsack.h"

namespace plasticity {
namespace {

struct TypeError {
    ggml_type type;
    double relative_error;
};

constexpr std::array kTypeErrors{
    TypeError{GGML_TYPE_F16, 4.2e-8},    TypeError{GGML_TYPE_Q8_0, 2.87e-5}, TypeError{GGML_TYPE_Q6_K, 2.52e-4},
    TypeError{GGML_TYPE_Q5_1, 9.1e-4},   TypeError{GGML_TYPE_Q5_0, 1.44e-3}, TypeError{GGML_TYPE_Q5_K, 1.04e-3},
    TypeError{GGML_TYPE_Q4_1, 3.87e-3},  TypeError{GGML_TYPE_Q4_K, 4.0e-3},  TypeError{GGML_TYPE_IQ4_NL, 4.8e-3},
    TypeError{GGML_TYPE_IQ4_XS, 4.9e-3}, TypeError{GGML_TYPE_Q3_K, 1.73e-2}, TypeError{GGML_TYPE_Q2_K, 5.2e-2},
};

/// The scores that decide tiers.
class TierScores {
public:
    explicit TierScores(const HeadPruning& heads) {
        double sum = 0;
        for (const LayerHeads& layer : heads.layers()) {
            sum += layer.mean_score() * static_cast<double>(layer.scores.size());
            layers_.push_back({!layer.scores.empty(), layer.mean_kept_score(), layer.mean_score()});
        }
        if (heads.base_heads() > 0) of_model_ = sum / static_cast<double>(heads.base_heads());
    }

    /// Of the heads that a matrix still serves, of the whole block for the feed-forward part, and the highest for what
    /// every token passes.
    double of(const TensorId& id) const {
        if (id.layer < 0) return 1;
        const Layer& layer = layers_[static_cast<std::size_t>(id.layer)];
        if (!layer.has_heads) return of_model_;  // a block without attention says nothing about itself
        return is_attention(id.role) ? layer.kept : layer.whole;
    }

private:
    struct Layer {
        bool has_heads = false;
        double kept = 0;
        double whole = 0;
    };
    std::vector<Layer> layers_;
    double of_model_ = 1;
};

std::vector<ggml_type> ladder_of(const MatrixChoice& choice, ggml_type floor) {
    std::vector<ggml_type> types = type_ladder(choice.cols, floor);
    if (!choice.pads_columns) return types;
    for (const ggml_type type : type_ladder(whole_blocks(kWidestBlock, choice.cols), floor))
        if (std::ranges::find(types, type) == types.end()) types.push_back(type);
    KnapsackItem options;
    for (const ggml_type type : types) options.push_back({choice.bytes_as(type), relative_error(type)});
    std::vector<ggml_type> ladder;
    for (const std::size_t option : pareto_front(options)) ladder.push_back(types[option]);
    return ladder;
}

void start(MatrixChoice& choice, double score, const PlanGoal& goal) {
    choice.mean_score = score;
    choice.tier = tier_of(score);
    choice.sensitivity = role_sensitivity(choice.id.role) * (choice.id.layer < 0 ? 1.0 : score_sensitivity(score));
    if (const TypeOverride* wanted = goal.override_for(gguf_name(choice.id))) {
        choice.ladder = {wanted->type};
        choice.override_pattern = wanted->pattern.text();
    } else {
        choice.ladder = ladder_of(choice, goal.floor);
    }
    // Where promotions follow, the embedding competes for bytes like all others; it is nearly half of a small model.
    const bool competes = choice.id.layer < 0 && goal.bounds_file();
    choice.start = choice.level = start_level(choice.ladder, competes ? Tier::kLow : choice.tier);
}

}  // namespace

double MatrixChoice::damage_at(std::size_t at) const {
    return measured.empty() ? predicted_damage(sensitivity, parameters(), ladder[at]) : measured[at];
}

double relative_error(ggml_type type) {
    for (const TypeError& known : kTypeErrors)
        if (known.type == type) return known.relative_error;
    return std::exp2(-2.0 * bits_per_weight(type));
}

double predicted_damage(double sensitivity, std::int64_t parameters, ggml_type type) {
    return sensitivity * static_cast<double>(parameters) * relative_error(type);
}

double role_sensitivity(TensorRole role) {
    switch (role) {
        case TensorRole::kValue:
            return 2.0;
        case TensorRole::kAttentionOutput:
            return 1.5;
        case TensorRole::kDown:
        case TensorRole::kExpertDowns:
        case TensorRole::kOutput:
            return 1.3;
        case TensorRole::kGate:
        case TensorRole::kUp:
        case TensorRole::kExpertGates:
        case TensorRole::kExpertUps:
            return 0.8;
        default:
            return 1.0;
    }
}

double score_sensitivity(double mean_score) {
    return 0.5 + mean_score;
}

TensorShape pruned_shape(const ModelTensor& tensor, const HeadPruning& heads, std::int32_t head_dim) {
    TensorShape shape{tensor.rows, tensor.cols};
    if (tensor.id.layer < 0) return shape;
    if (!is_attention(tensor.id.role)) {
        const std::int64_t gone = heads.channels().n_removed(static_cast<std::size_t>(tensor.id.layer));
        if (tensor.id.role == TensorRole::kGate || tensor.id.role == TensorRole::kUp)
            (tensor.is_vector ? shape.cols : shape.rows) -= gone;
        if (tensor.id.role == TensorRole::kDown && !tensor.id.is_bias) shape.cols -= gone;
        return shape;
    }
    const LayerHeads& layer = heads.layers()[static_cast<std::size_t>(tensor.id.layer)];
    if (layer.n_heads() == 0) return {0, 0};
    const std::int64_t query = std::int64_t{layer.n_heads()} * head_dim;
    const std::int64_t key = static_cast<std::int64_t>(layer.groups.size()) * head_dim;
    std::int64_t& along_heads = tensor.is_vector ? shape.cols : shape.rows;  // a bias is one row
    if (tensor.id.role == TensorRole::kQuery) along_heads = query;
    if (tensor.id.role == TensorRole::kKey || tensor.id.role == TensorRole::kValue) along_heads = key;
    if (tensor.id.role == TensorRole::kAttentionOutput && !tensor.id.is_bias) shape.cols = query;
    return shape;
}

MatrixChoice shaped_choice(const ModelTensor& tensor, const HeadPruning& heads, const Alignment& alignment,
                           std::int32_t head_dim) {
    MatrixChoice choice;
    choice.id = tensor.id;
    choice.kept = pruned_shape(tensor, heads, head_dim);
    const TensorShape shape = padded_shape(tensor.id, choice.kept, alignment.padding, head_dim);
    choice.rows = shape.rows;
    choice.cols = shape.cols;
    choice.pads_columns = alignment.columns;
    return choice;
}

std::vector<MatrixChoice> start_choices(const Model& model, const HeadPruning& heads, const PlanGoal& goal,
                                        const Alignment& alignment) {
    const TierScores scores(heads);
    std::vector<MatrixChoice> choices;
    for (const ModelTensor& tensor : model.tensors()) {
        if (!is_matrix(tensor.id)) continue;
        MatrixChoice choice = shaped_choice(tensor, heads, alignment, model.architecture().head_dim);
        if (choice.rows == 0) continue;
        start(choice, scores.of(tensor.id), goal);
        choices.push_back(std::move(choice));
    }
    return choices;
}

}  // namespace plasticity
