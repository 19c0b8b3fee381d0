#include "model/tensor_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "io/printable.h"
#include "model/column_padding.h"
#include "model/family.h"

namespace plasticity {
namespace {

struct ExpectedTensor {
    TensorId id;
    std::int64_t rows = 1;
    std::int64_t cols = 1;
    std::int64_t n_matrices = 1;
    bool is_vector = false;
    bool is_required = true;
};

/// Layer first: what follows the blocks sorts behind the last one.
std::tuple<int, int, bool> rank_of(const TensorId& id) {
    constexpr int kAfterBlocks = 1 << 30;
    const bool is_last = id.role == TensorRole::kOutput || id.role == TensorRole::kOutputNorm;
    return {is_last ? kAfterBlocks : id.layer, static_cast<int>(id.role), id.is_bias};
}

void expect_block(const Architecture& architecture, int layer, std::vector<ExpectedTensor>& expected) {
    const LayerGeometry& geometry = architecture.layers[static_cast<std::size_t>(layer)];
    const std::int64_t n_embd = architecture.n_embd;
    const auto vector = [&](TensorRole role, std::int64_t n, bool is_bias = false) {
        expected.push_back({.id = {role, layer, is_bias}, .cols = n, .is_vector = true, .is_required = !is_bias});
    };
    const auto matrix = [&](TensorRole role, std::int64_t rows, std::int64_t cols) {
        expected.push_back({.id = {role, layer}, .rows = rows, .cols = cols});
    };
    if (geometry.n_head > 0) {
        const std::int64_t q_rows = std::int64_t{geometry.n_head} * architecture.head_dim;
        const std::int64_t kv_rows = std::int64_t{geometry.n_head_kv} * architecture.head_dim;
        vector(TensorRole::kAttentionNorm, n_embd);
        matrix(TensorRole::kQuery, q_rows, n_embd);
        matrix(TensorRole::kKey, kv_rows, n_embd);
        if (architecture.features.query_key_norms) {
            vector(TensorRole::kQueryNorm, architecture.head_dim);
            vector(TensorRole::kKeyNorm, architecture.head_dim);
        }
        matrix(TensorRole::kValue, kv_rows, n_embd);
        matrix(TensorRole::kAttentionOutput, n_embd, q_rows);
        vector(TensorRole::kQuery, q_rows, true);
        vector(TensorRole::kKey, kv_rows, true);
        vector(TensorRole::kValue, kv_rows, true);
        if (architecture.features.post_norms) vector(TensorRole::kAttentionPostNorm, n_embd);
    }
    vector(TensorRole::kFeedForwardNorm, n_embd);
    if (architecture.features.post_norms) vector(TensorRole::kFeedForwardPostNorm, n_embd);
    if (const Experts& experts = architecture.experts; experts.count > 0) {
        const auto stack = [&](TensorRole role, std::int64_t rows, std::int64_t cols) {
            expected.push_back(
                {.id = {role, layer}, .rows = experts.count * rows, .cols = cols, .n_matrices = experts.count});
        };
        matrix(TensorRole::kRouter, experts.count, n_embd);
        stack(TensorRole::kExpertGates, experts.n_ff, n_embd);
        stack(TensorRole::kExpertUps, experts.n_ff, n_embd);
        stack(TensorRole::kExpertDowns, n_embd, experts.n_ff);
        return;
    }
    matrix(TensorRole::kGate, geometry.n_ff, n_embd);
    matrix(TensorRole::kUp, geometry.n_ff, n_embd);
    matrix(TensorRole::kDown, n_embd, geometry.n_ff);
}

std::vector<ExpectedTensor> expected_tensors(const Architecture& architecture) {
    std::vector<ExpectedTensor> expected{
        {.id = {TensorRole::kTokenEmbedding}, .rows = architecture.n_vocab, .cols = architecture.n_embd},
        {.id = {TensorRole::kOutputNorm}, .cols = architecture.n_embd, .is_vector = true},
        {.id = {TensorRole::kOutput},
         .rows = architecture.n_vocab,
         .cols = architecture.n_embd,
         .is_required = !architecture.tied_embeddings},
    };
    if (!family_of(architecture).ignores_rope_factors)
        expected.push_back({.id = {TensorRole::kRopeFrequencies},
                            .cols = architecture.n_rot / 2,
                            .is_vector = true,
                            .is_required = false});
    for (int layer = 0; layer < architecture.n_layer(); ++layer) expect_block(architecture, layer, expected);
    return expected;
}

template <typename Tensor>
std::string tensor_shape_text(const Tensor& tensor) {
    if (tensor.is_vector) return fmt::format("[{}]", tensor.cols);
    if (tensor.n_matrices == 1) return fmt::format("[{} × {}]", tensor.rows, tensor.cols);
    return fmt::format("[{} × {} × {}]", tensor.n_matrices, tensor.rows / tensor.n_matrices, tensor.cols);
}

void check_shape(const ExpectedTensor& expected, const ModelTensor& tensor, ProblemList& problems) {
    if (tensor.is_vector == expected.is_vector && tensor.rows == expected.rows && tensor.cols == expected.cols &&
        tensor.n_matrices == expected.n_matrices)
        return;
    problems.add(fmt::format("{}: got shape {}; expected {}", tensor.name, tensor_shape_text(tensor),
                             tensor_shape_text(expected)));
}

bool is_readable(ggml_type type) {
    return type == GGML_TYPE_F32 || ggml_get_type_traits(type)->to_float != nullptr;
}

}  // namespace

void check_tensors(const Architecture& architecture, const std::vector<ModelTensor>& tensors, ProblemList& problems) {
    std::map<std::tuple<int, int, bool>, const ModelTensor*> unclaimed;
    for (const ModelTensor& tensor : tensors) {
        if (!unclaimed.emplace(rank_of(tensor.id), &tensor).second)
            problems.add(fmt::format("{}: stored twice", tensor.name));
        if (!is_readable(tensor.type))
            problems.add(fmt::format("{}: got type {}; expected one that holds real numbers", tensor.name,
                                     ggml_type_name(tensor.type)));
    }
    for (const ExpectedTensor& expected : expected_tensors(architecture)) {
        const auto found = unclaimed.find(rank_of(expected.id));
        if (found != unclaimed.end()) {
            check_shape(expected, *found->second, problems);
            unclaimed.erase(found);
        } else if (expected.is_required) {
            problems.add(
                fmt::format("{}: missing; expected shape {}", gguf_name(expected.id), tensor_shape_text(expected)));
        }
    }
    for (const auto& [rank, tensor] : unclaimed)
        problems.add(fmt::format("{}: unknown weight in a {} of {} blocks", printable(tensor->name), architecture.name,
                                 architecture.n_layer()));
}

void take_off_padded_columns(const Architecture& architecture, std::vector<ModelTensor>& tensors) {
    std::map<std::tuple<int, int, bool>, std::int64_t> cols_of;
    for (const ExpectedTensor& expected : expected_tensors(architecture))
        if (!expected.is_vector && expected.n_matrices == 1) cols_of[rank_of(expected.id)] = expected.cols;
    for (ModelTensor& tensor : tensors) {
        const auto cols = cols_of.find(rank_of(tensor.id));
        if (tensor.is_vector || cols == cols_of.end() || tensor.cols <= cols->second ||
            tensor.cols != whole_blocks(tensor.type, cols->second))
            continue;
        tensor.padded_cols = tensor.cols;
        tensor.cols = cols->second;
    }
}

std::int64_t rows_of(const Architecture& architecture, const TensorId& id) {
    std::vector<ExpectedTensor> expected;
    expect_block(architecture, id.layer, expected);
    const auto found = std::ranges::find(expected, id, &ExpectedTensor::id);
    if (found == expected.end()) return 0;
    return found->is_vector ? found->cols : found->rows;
}

void sort_tensors(std::vector<ModelTensor>& tensors) {
    std::ranges::stable_sort(tensors, {}, [](const ModelTensor& tensor) { return rank_of(tensor.id); });
}

}  // namespace plasticity
