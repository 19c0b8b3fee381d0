#pragma once

// Hand-made recipes for tests, and a slow, obvious writer of what they ask for.
//
//     const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf"));
//     const Recipe recipe = tiny_recipe(*model, {.kept_heads = {{0, 1, 2, 3}, {2, 3}}});
//     write_naively(*model, recipe, dir / "out.gguf");
//
// Header only: the support library stands below src/artifact.

#include <ggml.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "artifact/output_layout.h"
#include "artifact/recipe.h"
#include "core/hash.h"
#include "io/gguf_writer.h"
#include "model/column_padding.h"
#include "model/model.h"
#include "model/stock_form.h"
#include "quant/block_quantizer.h"

namespace plasticity::test {

struct TinyRecipeOptions {
    std::vector<std::vector<std::int32_t>> kept_heads;  ///< [layer] query heads that stay; empty: all in all layers
    std::vector<std::vector<std::int32_t>> kept_channels = {};  ///< [layer] of the feed-forward part; empty: all
    ggml_type type = GGML_TYPE_F32;                             ///< of every matrix but
    ggml_type embedding_type = GGML_TYPE_F32;                   ///< the embedding and the output
    Padding padding;
};

inline LayerTopology keep_heads(std::int32_t layer, const LayerGeometry& base, std::vector<std::int32_t> kept) {
    LayerTopology topology;
    topology.layer_index = layer;
    topology.num_heads = static_cast<std::int32_t>(kept.size());
    for (const std::int32_t head : kept) {
        const std::int32_t group = head / (base.n_head / base.n_head_kv);
        if (topology.retained_kv_head_indices.empty() || topology.retained_kv_head_indices.back() != group)
            topology.retained_kv_head_indices.push_back(group);
    }
    topology.num_kv_heads = static_cast<std::int32_t>(topology.retained_kv_head_indices.size());
    topology.retained_head_indices = std::move(kept);
    for (std::int32_t head = 0; head < base.n_head; ++head)
        topology.head_scores.push_back(static_cast<double>(head + 1) / base.n_head);
    return topology;
}

/// 0, 1, … n − 1
inline std::vector<std::int32_t> up_to(std::int32_t n) {
    std::vector<std::int32_t> indices(static_cast<std::size_t>(n));
    std::iota(indices.begin(), indices.end(), 0);
    return indices;
}

/// The recipe states its own size, which its text is part of: repeat until both agree.
inline void settle_file_bytes(const Model& model, Recipe& recipe) {
    std::uint64_t bytes = 0;
    do {
        recipe.budget.file_bytes = bytes;
        bytes = lay_out(model, recipe, {.with_tokenizer = true}).file.file_bytes();
    } while (bytes != recipe.budget.file_bytes);
}

inline Recipe tiny_recipe(const Model& model, const TinyRecipeOptions& options = {}) {
    const Architecture& base = model.architecture();
    Recipe recipe;
    for (std::int32_t layer = 0; layer < base.n_layer(); ++layer) {
        const auto index = static_cast<std::size_t>(layer);
        std::vector<std::int32_t> kept = up_to(base.layers[index].n_head);
        if (!options.kept_heads.empty()) kept = options.kept_heads.at(index);
        recipe.topology.layers.push_back(keep_heads(layer, base.layers[index], kept));
        if (const std::int32_t width = base.layers[index].n_ff;
            !options.kept_channels.empty() && std::cmp_less(options.kept_channels.at(index).size(), width))
            recipe.topology.layers.back().feed_forward =
                FeedForwardTopology::of(options.kept_channels.at(index), width);
    }
    recipe.topology.base_model = recipe.base_model = base.model_name;
    recipe.topology.original_num_heads = base.layers.front().n_head;
    recipe.topology.original_num_kv_heads = base.layers.front().n_head_kv;
    recipe.topology.head_dim = base.head_dim;
    recipe.topology.precision_profile = "tiers: by hand";
    recipe.tensor_quant_map = {{"model.embed_tokens.weight", options.embedding_type, "by hand"},
                               {"lm_head.weight", options.embedding_type, "by hand"},
                               {"*", options.type, "by hand"}};
    recipe.pipeline_version = "0.1.0";
    recipe.policy = "tiers";
    recipe.context_length = 128;
    recipe.padding = options.padding;
    const Architecture output = padded_architecture(kept_architecture(recipe, base), recipe.padding);
    recipe.output_architecture = stock_form(base, output).architecture;
    recipe.device = Device{"16gb", 16'000'000'000, 5'000'000'000};
    recipe.budget.limit_bytes = recipe.device->effective_bytes();
    settle_file_bytes(model, recipe);
    return recipe;
}

/// tiny_recipe() with a line for each matrix, whose rows are filled up to whole blocks of its type.
inline Recipe tiny_recipe_with_padded_columns(const Model& model, const TinyRecipeOptions& options) {
    TinyRecipeOptions plain = options;
    plain.type = plain.embedding_type = GGML_TYPE_F32;
    Recipe recipe = tiny_recipe(model, plain);
    const OutputLayout unquantised = lay_out(model, recipe, {});
    recipe.tensor_quant_map.clear();
    for (const OutputTensor& tensor : unquantised.tensors) {
        const TensorId& id = tensor.source->id;
        if (!is_matrix(id)) continue;
        const ggml_type type = id.layer < 0 ? options.embedding_type : options.type;
        const std::int64_t whole = whole_blocks(type, tensor.n_cols());
        recipe.tensor_quant_map.push_back(
            {.pattern = hf_name(id),
             .type = type,
             .reason = "by hand",
             .padded_columns = whole == tensor.n_cols() ? 0 : static_cast<std::int32_t>(whole)});
    }
    recipe.tensor_quant_map.push_back({.pattern = "*", .type = GGML_TYPE_F32, .reason = "vectors"});
    recipe.stock = !recipe.pads_columns();
    recipe.stock_reason = "padded by hand";
    settle_file_bytes(model, recipe);
    return recipe;
}

/// One output tensor as F32, element by element from the layout's lists.
inline std::vector<float> naive_values(const Model& model, const OutputTensor& tensor) {
    const ModelTensor& source = *tensor.source;
    std::vector<float> all(static_cast<std::size_t>(source.rows * source.cols)), values;
    model.read_rows_f32(source, 0, source.rows, all);
    for (std::int64_t row = 0; row < tensor.n_rows(); ++row)
        for (std::int64_t col = 0; col < tensor.n_cols(); ++col) {
            const std::int64_t from_row = tensor.rows.empty() ? row : tensor.rows[static_cast<std::size_t>(row)];
            const std::int64_t from_col = tensor.cols.empty() ? col : tensor.cols[static_cast<std::size_t>(col)];
            const bool is_padding = from_row == kZeros || from_col == kZeros;
            values.push_back(
                is_padding ? 0.0f : tensor.scale * all[static_cast<std::size_t>(from_row * source.cols + from_col)]);
        }
    return values;
}

/// What compress writes without statistics, whole tensors at a time. Sources in F32, so that nothing is copied.
inline void write_naively(const Model& model, const Recipe& recipe, const std::filesystem::path& path) {
    OutputLayout layout = lay_out(model, recipe, {.with_tokenizer = true});
    std::vector<std::string> sources;
    for (const SourceFile& source : model.files()) sources.push_back(sha256_of_file(source.path));
    state_sources(layout, sources);
    GgufWriter file(path, layout.file, Overwrite::kReplace);
    for (const OutputTensor& tensor : layout.tensors) {
        const std::vector<float> values = naive_values(model, tensor);
        std::vector<std::byte> stored(tensor.spec.bytes());
        BlockQuantizer(tensor.spec.type, tensor.spec.dims[0], {}, tensor.spec.name).quantize(values, 0, stored);
        file.write(tensor.spec.name, stored);
    }
    file.finish();
}

}  // namespace plasticity::test
