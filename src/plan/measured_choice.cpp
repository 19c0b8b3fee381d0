#include "plan/measured_choice.h"

#include <algorithm>
#include <array>

#include "artifact/type_names.h"
#include "plan/knapsack.h"

namespace plasticity {
namespace {

constexpr std::array kTypes{
    GGML_TYPE_F16,    GGML_TYPE_Q8_0,   GGML_TYPE_Q6_K,    GGML_TYPE_Q5_1,    GGML_TYPE_Q5_0,
    GGML_TYPE_Q5_K,   GGML_TYPE_Q4_1,   GGML_TYPE_Q4_K,    GGML_TYPE_Q4_0,    GGML_TYPE_IQ4_NL,
    GGML_TYPE_IQ4_XS, GGML_TYPE_Q3_K,   GGML_TYPE_IQ3_S,   GGML_TYPE_IQ3_XXS, GGML_TYPE_Q2_K,
    GGML_TYPE_IQ2_S,  GGML_TYPE_IQ2_XS, GGML_TYPE_IQ2_XXS, GGML_TYPE_IQ1_M,   GGML_TYPE_IQ1_S,
};

KnapsackItem options_of(const MatrixChoice& choice, const std::vector<ggml_type>& types, const ModelTensor& matrix,
                        const DamageTable& damages) {
    const double share = static_cast<double>(choice.parameters()) /
                         (static_cast<double>(matrix.rows) * static_cast<double>(matrix.cols));
    KnapsackItem options;
    for (const ggml_type type : types)
        options.push_back({choice.bytes_as(type), share * damages.of(matrix.name, type)});
    return options;
}

/// The embedding's padding must come back as zeros.
bool holds_padding(const MatrixChoice& choice, ggml_type type) {
    return choice.id.role != TensorRole::kTokenEmbedding || choice.cols == choice.kept.cols ||
           keeps_zero_columns(type, choice.kept.cols);
}

/// Where columns are padded, every type's blocks fit.
std::vector<ggml_type> types_of(const MatrixChoice& choice, ggml_type floor) {
    return types_for(choice.pads_columns ? whole_blocks(kWidestBlock, choice.cols) : choice.cols, floor);
}

}  // namespace

std::vector<ggml_type> types_for(std::int64_t row_length, ggml_type floor) {
    std::vector<ggml_type> types;
    for (const ggml_type type : kTypes)
        if (row_length % ggml_blck_size(type) == 0 && bits_per_weight(type) >= bits_per_weight(floor))
            types.push_back(type);
    return types;
}

std::vector<DamageQuestion> damage_questions(const Model& model, const PlanGoal& goal,
                                             const std::vector<PaddedDimensions>& dimensions) {
    const Architecture& architecture = model.architecture();
    std::vector<DamageQuestion> questions;
    for (const ModelTensor& tensor : model.tensors()) {
        if (tensor.is_vector) continue;
        if (const TypeOverride* wanted = goal.override_for(tensor.name)) {
            questions.push_back({&tensor, {wanted->type}});
            continue;
        }
        std::vector<ggml_type> types = types_for(tensor.cols, goal.floor);
        for (const PaddedDimensions& some : dimensions) {
            const TensorShape shape = padded_shape(tensor.id, {tensor.rows, tensor.cols},
                                                   padding_for(some, architecture), architecture.head_dim);
            const std::int64_t longest = some.columns ? whole_blocks(kWidestBlock, shape.cols) : shape.cols;
            for (const ggml_type type : types_for(longest, goal.floor))
                if (std::ranges::find(types, type) == types.end()) types.push_back(type);
        }
        questions.push_back({&tensor, std::move(types)});
    }
    return questions;
}

std::vector<MatrixChoice> measured_choices(const Model& model, const HeadPruning& heads, const PlanGoal& goal,
                                           const DamageTable& damages, const Alignment& alignment) {
    const std::int32_t head_dim = model.architecture().head_dim;
    std::vector<MatrixChoice> choices;
    for (const ModelTensor& tensor : model.tensors()) {
        if (tensor.is_vector) continue;
        MatrixChoice choice = shaped_choice(tensor, heads, alignment, head_dim);
        if (choice.rows == 0) continue;
        // Where heads go, rows of o get shorter. A type whose blocks divide only the shorter rows was not measured.
        std::vector<ggml_type> types = types_of(choice, goal.floor);
        std::erase_if(
            types, [&](ggml_type type) { return !damages.knows(tensor.name, type) || !holds_padding(choice, type); });
        if (const TypeOverride* wanted = goal.override_for(tensor.name)) {
            types = {wanted->type};
            choice.override_pattern = wanted->pattern.text();
        }
        const KnapsackItem options = options_of(choice, types, tensor, damages);
        for (const std::size_t option : pareto_front(options)) {
            choice.ladder.push_back(types[option]);
            choice.measured.push_back(options[option].damage);
        }
        choices.push_back(std::move(choice));
    }
    return choices;
}

}  // namespace plasticity
