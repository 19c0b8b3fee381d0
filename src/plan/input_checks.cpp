#include "plan/input_checks.h"

#include <fmt/format.h>

#include <utility>

#include "io/problem_list.h"

namespace plasticity {

void require_scores_fit(const GateGradients& scores, const Architecture& architecture, std::string_view where) {
    ProblemList problems{std::string(where)};
    if (scores.absolute_sums.size() != architecture.layers.size()) {
        problems.add(fmt::format("scores of {} layers (\"{}\"); the model \"{}\" has {}. Are they another model's?",
                                 scores.absolute_sums.size(), scores.model_name, architecture.model_name,
                                 architecture.layers.size()));
        problems.throw_if_any();
    }
    for (std::size_t layer = 0; layer < architecture.layers.size(); ++layer) {
        const LayerGeometry& geometry = architecture.layers[layer];
        if (scores.absolute_sums[layer].size() != static_cast<std::size_t>(geometry.n_head) ||
            scores.layer_kv_heads[layer] != geometry.n_head_kv)
            problems.add(fmt::format("layer {}: {} heads on {} KV heads; the model has {} on {}", layer,
                                     scores.absolute_sums[layer].size(), scores.layer_kv_heads[layer], geometry.n_head,
                                     geometry.n_head_kv));
    }
    problems.throw_if_any();
}

void require_statistics_fit(const Statistics& statistics, const Model& model, std::string_view where) {
    ProblemList problems{std::string(where)};
    for (const auto& [name, channels] : statistics.matrices) {
        const auto id = parse_gguf_name(name);
        const ModelTensor* tensor = id ? model.find(*id) : nullptr;
        // Where embeddings are tied, llama-imatrix counts what enters the output under output.weight.
        if (!tensor && id && id->role == TensorRole::kOutput) tensor = model.find({TensorRole::kTokenEmbedding});
        if (!tensor)
            problems.add(fmt::format("statistics of {}, which the model does not have", name));
        else if (channels.sum_of_squares.size() != static_cast<std::size_t>(tensor->cols))
            problems.add(fmt::format("{} has {} channels; the model's has {}", name, channels.sum_of_squares.size(),
                                     tensor->cols));
    }
    for (const auto& [name, curvature] : statistics.curvature) {
        const bool is_lookup = name == lookup_key(gguf_name({TensorRole::kTokenEmbedding}));
        const auto id = is_lookup ? TensorId{TensorRole::kTokenEmbedding} : parse_gguf_name(name);
        const ModelTensor* tensor = id ? model.find(*id) : nullptr;
        if (!tensor)
            problems.add(fmt::format("curvature of {}, which the model does not have", name));
        else if (std::cmp_not_equal(curvature.rows.size(), tensor->rows) ||
                 std::cmp_not_equal(curvature.columns.size(), tensor->cols))
            problems.add(fmt::format("curvature of {} is of {} × {}; the model's is {} × {}", name,
                                     curvature.rows.size(), curvature.columns.size(), tensor->rows, tensor->cols));
        else if (id->role == TensorRole::kDown && !curvature.gates.empty() &&
                 std::cmp_not_equal(curvature.gates.size(), tensor->cols))
            problems.add(fmt::format("curvature of {} has {} gates; the layer has {} channels", name,
                                     curvature.gates.size(), tensor->cols));
        else if (id->role == TensorRole::kAttentionOutput && !curvature.gates.empty() &&
                 std::cmp_not_equal(curvature.gates.size(),
                                    model.architecture().layers[static_cast<std::size_t>(id->layer)].n_head))
            problems.add(fmt::format("curvature of {} has {} gates; the layer has {} heads", name,
                                     curvature.gates.size(),
                                     model.architecture().layers[static_cast<std::size_t>(id->layer)].n_head));
    }
    problems.throw_if_any();
}

}  // namespace plasticity
