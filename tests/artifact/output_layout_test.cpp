#include "artifact/output_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

using test::TempDir;
using test::tiny_recipe;
using test::write_tiny_gguf;
using Indices = std::vector<std::int64_t>;

const OutputTensor& tensor_named(const OutputLayout& layout, std::string_view name) {
    const auto found = std::ranges::find(layout.tensors, name, [](const OutputTensor& t) { return t.spec.name; });
    if (found == layout.tensors.end()) throw std::runtime_error(std::string(name));
    return *found;
}

bool has(const OutputLayout& layout, std::string_view name) {
    return std::ranges::any_of(layout.tensors, [&](const OutputTensor& t) { return t.spec.name == name; });
}

TEST(LayOut, LeavesAnUnprunedModelAsItIs) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "q.gguf", {.architecture = "qwen2", .tied = false}));
    const OutputLayout layout = lay_out(*model, tiny_recipe(*model), {});
    EXPECT_EQ(layout.architecture.name, "qwen2");
    EXPECT_EQ(layout.architecture.rope_layout, RopeLayout::kNeox);
    EXPECT_EQ(layout.tensors.size(), model->tensors().size());
    for (const OutputTensor& tensor : layout.tensors) {
        EXPECT_TRUE(tensor.rows.empty()) << tensor.spec.name;
        EXPECT_TRUE(tensor.cols.empty()) << tensor.spec.name;
        EXPECT_EQ(tensor.spec.dims[0], tensor.source->cols);
        EXPECT_EQ(tensor.spec.dims[1], tensor.source->rows);
    }
    EXPECT_EQ(layout.tensors.front().spec.name, "token_embd.weight");
    EXPECT_EQ(layout.tensors[layout.tensors.size() - 2].spec.name, "output_norm.weight");
    EXPECT_EQ(layout.tensors.back().spec.name, "output.weight");
}

TEST(LayOut, PrunedHeadsLeaveRowsBiasesAndColumns) {
    const TempDir dir;
    // 4 heads of 8 on 2 KV heads, NEOX. Block 0 keeps heads 2 and 3, that is KV head 1; block 1 all.
    const auto model = open_model(write_tiny_gguf(dir / "q.gguf", {.architecture = "qwen2"}));
    const OutputLayout layout = lay_out(*model, tiny_recipe(*model, {.kept_heads = {{2, 3}, {0, 1, 2, 3}}}), {});
    EXPECT_EQ(layout.architecture.name, "deci");
    EXPECT_EQ(layout.architecture.rope_layout, RopeLayout::kNorm);
    EXPECT_EQ(layout.architecture.layers[0], (LayerGeometry{2, 1, 48}));
    EXPECT_EQ(layout.architecture.layers[1], (LayerGeometry{4, 2, 48}));

    // Halves 0…3 and 4…7 of a head interleave.
    const Indices head_2{16, 20, 17, 21, 18, 22, 19, 23}, key_head_1{8, 12, 9, 13, 10, 14, 11, 15};
    const OutputTensor& query = tensor_named(layout, "blk.0.attn_q.weight");
    EXPECT_EQ(query.rows.size(), 16u);
    EXPECT_EQ(Indices(query.rows.begin(), query.rows.begin() + 8), head_2);
    EXPECT_EQ(tensor_named(layout, "blk.0.attn_k.weight").rows, key_head_1);
    EXPECT_EQ(tensor_named(layout, "blk.0.attn_v.weight").rows, (Indices{8, 9, 10, 11, 12, 13, 14, 15}));
    const OutputTensor& output = tensor_named(layout, "blk.0.attn_output.weight");
    EXPECT_TRUE(output.rows.empty());
    EXPECT_EQ(output.cols.size(), 16u);
    EXPECT_EQ(output.cols.front(), 16);
    EXPECT_EQ(output.spec.dims, (std::array<std::int64_t, 4>{16, 32, 1, 1}));

    // A bias is one row: the same selection along its columns.
    EXPECT_EQ(tensor_named(layout, "blk.0.attn_q.bias").cols, query.rows);
    EXPECT_TRUE(tensor_named(layout, "blk.0.attn_q.bias").rows.empty());
    EXPECT_EQ(tensor_named(layout, "blk.0.attn_k.bias").cols, key_head_1);

    // The block that keeps all heads moves to the other rotary layout all the same.
    const OutputTensor& whole = tensor_named(layout, "blk.1.attn_q.weight");
    EXPECT_EQ(whole.rows.size(), 32u);
    EXPECT_EQ(Indices(whole.rows.begin() + 16, whole.rows.begin() + 24), head_2);
    EXPECT_TRUE(tensor_named(layout, "blk.1.attn_v.weight").rows.empty());
    EXPECT_TRUE(tensor_named(layout, "blk.1.attn_output.weight").cols.empty());
}

TEST(LayOut, HeadsCutFromTheEndAreStillListed) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "t.gguf"));  // llama: no permutation
    const OutputLayout layout = lay_out(*model, tiny_recipe(*model, {.kept_heads = {{0, 1}, {0, 1, 2, 3}}}), {});
    EXPECT_EQ(tensor_named(layout, "blk.0.attn_q.weight").rows.size(), 16u);
    EXPECT_EQ(tensor_named(layout, "blk.0.attn_k.weight").rows, (Indices{0, 1, 2, 3, 4, 5, 6, 7}));
    EXPECT_EQ(tensor_named(layout, "blk.0.attn_output.weight").cols.size(), 16u);
    EXPECT_TRUE(tensor_named(layout, "blk.1.attn_q.weight").rows.empty());
}

// 4 heads of 8 on 2 KV heads, width 32, feed-forward width 48. Heads of zeros follow those of each KV head.
TEST(LayOut, PaddingIsZerosBehindWhatThereIs) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "q.gguf", {.architecture = "qwen2", .tied = false}));
    const Recipe recipe = tiny_recipe(*model, {.padding = {.width = 48, .heads = 6, .feed_forward = 64}});
    const OutputLayout layout = lay_out(*model, recipe, {});
    EXPECT_EQ(layout.architecture.name, "qwen2") << "6 · 8 = 48: the stock loader takes it";
    EXPECT_EQ(layout.architecture.n_embd, 48);
    EXPECT_FLOAT_EQ(layout.architecture.rms_norm_epsilon, model->architecture().rms_norm_epsilon * 32 / 48);
    EXPECT_EQ(layout.architecture.layers[1], (LayerGeometry{6, 2, 64}));

    const auto expect = [&](const char* name, Indices rows, Indices cols) {
        const OutputTensor& tensor = tensor_named(layout, name);
        EXPECT_EQ(tensor.rows, rows) << name;
        EXPECT_EQ(tensor.cols, cols) << name;
        EXPECT_EQ(tensor.spec.dims[0], tensor.n_cols());
    };
    const auto ramp = [](std::int64_t from, std::int64_t to, std::size_t zeros) {
        Indices indices;
        for (std::int64_t i = from; i < to; ++i) indices.push_back(i);
        indices.resize(indices.size() + zeros, kZeros);
        return indices;
    };
    Indices heads = ramp(0, 16, 8);
    const Indices second = ramp(16, 32, 8), width = ramp(0, 32, 16);
    heads.insert(heads.end(), second.begin(), second.end());
    expect("token_embd.weight", {}, width);
    expect("output.weight", {}, width);
    expect("output_norm.weight", {}, width);
    expect("blk.0.attn_q.weight", heads, width);
    expect("blk.0.attn_q.bias", {}, heads);
    expect("blk.0.attn_k.weight", {}, width);
    expect("blk.0.attn_k.bias", {}, {});
    expect("blk.0.attn_v.weight", {}, width);
    expect("blk.0.attn_output.weight", width, heads);
    expect("blk.0.ffn_gate.weight", ramp(0, 48, 16), width);
    expect("blk.0.ffn_down.weight", width, ramp(0, 48, 16));
    EXPECT_FLOAT_EQ(tensor_named(layout, "blk.1.ffn_norm.weight").scale, std::sqrt(32.0f / 48));
    EXPECT_EQ(tensor_named(layout, "blk.1.ffn_up.weight").scale, 1.0f);
    EXPECT_FALSE(tensor_named(layout, "blk.0.ffn_down.weight").loses_cols());
    EXPECT_EQ(*layout.file.metadata.array<std::int32_t>("continuum.per_layer_head_counts"),
              (std::vector<std::int32_t>{4, 4}))
        << "the heads that are the base's";
}

TEST(LayOut, PadsPrunedHeadsInTheirRotaryLayout) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "q.gguf", {.architecture = "qwen2"}));
    const OutputLayout layout =
        lay_out(*model, tiny_recipe(*model, {.kept_heads = {{1, 3}, {0, 1, 2, 3}}, .padding = {.heads = 6}}), {});
    EXPECT_EQ(layout.architecture.name, "deci");
    Indices query{8, 12, 9, 13, 10, 14, 11, 15}, columns{8, 9, 10, 11, 12, 13, 14, 15};
    query.resize(24, kZeros);
    columns.resize(24, kZeros);
    for (const std::int64_t row : {24, 28, 25, 29, 26, 30, 27, 31}) query.push_back(row);
    for (std::int64_t col = 24; col < 32; ++col) columns.push_back(col);
    query.resize(48, kZeros);
    columns.resize(48, kZeros);
    EXPECT_EQ(tensor_named(layout, "blk.0.attn_q.weight").rows, query);
    EXPECT_EQ(tensor_named(layout, "blk.0.attn_q.bias").cols, query);
    EXPECT_EQ(tensor_named(layout, "blk.0.attn_output.weight").cols, columns);
    EXPECT_TRUE(tensor_named(layout, "blk.0.attn_output.weight").loses_cols());
}

TEST(LayOut, PrunedChannelsLeaveRowsOfGateAndUpAndColumnsOfDown) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "t.gguf"));  // 48 channels
    const std::vector<std::int32_t> some{1, 2, 40, 47};
    const OutputLayout layout = lay_out(*model, tiny_recipe(*model, {.kept_channels = {some, test::up_to(48)}}), {});
    EXPECT_EQ(layout.architecture.name, "deci");
    EXPECT_EQ(layout.architecture.layers[0], (LayerGeometry{4, 2, 4}));
    EXPECT_EQ(layout.architecture.layers[1], (LayerGeometry{4, 2, 48}));
    const Indices kept(some.begin(), some.end());
    for (const char* name : {"blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"}) {
        EXPECT_EQ(tensor_named(layout, name).rows, kept) << name;
        EXPECT_TRUE(tensor_named(layout, name).cols.empty()) << name;
        EXPECT_EQ(tensor_named(layout, name).spec.dims, (std::array<std::int64_t, 4>{32, 4, 1, 1})) << name;
    }
    const OutputTensor& down = tensor_named(layout, "blk.0.ffn_down.weight");
    EXPECT_EQ(down.cols, kept);
    EXPECT_TRUE(down.rows.empty());
    EXPECT_TRUE(down.loses_cols());
    EXPECT_TRUE(tensor_named(layout, "blk.1.ffn_down.weight").cols.empty());
    EXPECT_TRUE(tensor_named(layout, "blk.0.attn_output.weight").cols.empty());
    const GgufMetadata& metadata = layout.file.metadata;
    EXPECT_EQ(metadata.integers_per_layer("deci.feed_forward_length", 2), (std::vector<std::int64_t>{4, 48}));
    EXPECT_EQ(*metadata.array<std::int32_t>("continuum.per_layer_feed_forward_lengths"),
              (std::vector<std::int32_t>{4, 48}));
    EXPECT_FALSE(
        lay_out(*model, tiny_recipe(*model), {}).file.metadata.contains("continuum.per_layer_feed_forward_lengths"));
}

TEST(LayOut, PadsWhatPruningLeavesOfTheChannels) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "t.gguf"));
    const Recipe recipe =
        tiny_recipe(*model, {.kept_channels = {{1, 2, 3}, {5, 7, 9}}, .padding = {.feed_forward = 5}});
    const OutputLayout layout = lay_out(*model, recipe, {});
    EXPECT_EQ(layout.architecture.name, "llama") << "alike in all blocks";
    EXPECT_EQ(layout.architecture.layers[1], (LayerGeometry{4, 2, 5}));
    EXPECT_EQ(tensor_named(layout, "blk.1.ffn_down.weight").cols, (Indices{5, 7, 9, kZeros, kZeros}));
    EXPECT_EQ(tensor_named(layout, "blk.0.ffn_up.weight").rows, (Indices{1, 2, 3, kZeros, kZeros}));
    EXPECT_EQ(*layout.file.metadata.array<std::int32_t>("continuum.per_layer_feed_forward_lengths"),
              (std::vector<std::int32_t>{3, 3}));
}

TEST(LayOut, RefusesPaddingThatTheEmbeddingsTypeCannotHold) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "t.gguf", {.n_embd = 192, .head_dim = 48}));
    Recipe recipe = tiny_recipe(*model, {.padding = {.width = 256}});
    recipe.tensor_quant_map[0].type = GGML_TYPE_Q3_K;
    EXPECT_NO_THROW(lay_out(*model, recipe, {}));
    recipe.tensor_quant_map[0].type = GGML_TYPE_IQ3_S;
    try {
        lay_out(*model, recipe, {});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
        EXPECT_NE(std::string(error.what()).find("iq3_s cannot hold zeros from column 192 on"), std::string::npos);
    }
}

/// Rows of 96 in Q6_K want 256, those of 80 in Q4_0 want 96, and F32 wants none.
TEST(LayOut, PadsColumnsOfSingleMatricesAndSaysSo) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "t.gguf", {.n_embd = 96, .head_dim = 24, .n_ff = 80}));
    Recipe recipe = tiny_recipe(*model);
    recipe.tensor_quant_map = {
        {.pattern = "*.down_proj.weight", .type = GGML_TYPE_Q4_0, .reason = "", .padded_columns = 96},
        {.pattern = "*.self_attn.*_proj.weight", .type = GGML_TYPE_Q6_K, .reason = "", .padded_columns = 256},
        {.pattern = "*", .type = GGML_TYPE_F32, .reason = ""}};
    recipe.stock = false;
    const OutputLayout layout = lay_out(*model, recipe, {});
    EXPECT_EQ(layout.architecture.n_embd, 96) << "the model keeps its channels";
    EXPECT_TRUE(layout.file.metadata.boolean_or("continuum.padded_columns", false));
    const auto expect_padded = [&](const char* name, std::int64_t from, std::int64_t to, std::int64_t rows) {
        const OutputTensor& tensor = tensor_named(layout, name);
        ASSERT_EQ(std::ssize(tensor.cols), to) << name;
        for (std::int64_t col = 0; col < to; ++col)
            EXPECT_EQ(tensor.cols[static_cast<std::size_t>(col)], col < from ? col : kZeros);
        EXPECT_EQ(tensor.spec.dims, (std::array<std::int64_t, 4>{to, rows, 1, 1})) << name;
    };
    expect_padded("blk.0.attn_q.weight", 96, 256, 96);
    expect_padded("blk.1.attn_output.weight", 96, 256, 96);
    expect_padded("blk.1.ffn_down.weight", 80, 96, 96);
    EXPECT_TRUE(tensor_named(layout, "blk.0.ffn_up.weight").cols.empty());
    EXPECT_TRUE(tensor_named(layout, "blk.0.attn_norm.weight").cols.empty());
    EXPECT_FALSE(lay_out(*model, tiny_recipe(*model), {}).file.metadata.contains("continuum.padded_columns"));
}

TEST(LayOut, PadsWhatPruningLeaves) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "t.gguf", {.n_embd = 64, .head_dim = 16}));
    const Recipe recipe = test::tiny_recipe_with_padded_columns(
        *model, {.kept_heads = {{1, 3}, {0, 1, 2, 3}}, .type = GGML_TYPE_Q4_K, .embedding_type = GGML_TYPE_IQ3_S});
    const OutputLayout layout = lay_out(*model, recipe, {});
    const OutputTensor& output = tensor_named(layout, "blk.0.attn_output.weight");
    EXPECT_EQ(output.n_cols(), 256);
    EXPECT_TRUE(output.loses_cols());
    EXPECT_EQ(output.cols[0], 16);
    EXPECT_EQ(output.cols[31], 63);
    EXPECT_EQ(output.cols[32], kZeros);
    EXPECT_EQ(tensor_named(layout, "token_embd.weight").n_cols(), 256)
        << "the residual stream does not see the padding, so a type without a zero will do";
}

TEST(LayOut, RefusesPaddedColumnsThatTheTypeDoesNotWant) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "t.gguf", {.n_embd = 96, .head_dim = 24}));
    Recipe recipe = tiny_recipe(*model);
    recipe.stock = false;
    const auto refused = [&](ggml_type type, std::int32_t columns, const std::string& words) {
        recipe.tensor_quant_map = {
            {.pattern = "*.q_proj.weight", .type = type, .reason = "", .padded_columns = columns},
            {.pattern = "*", .type = GGML_TYPE_F32, .reason = ""}};
        test::expect_error(ErrorKind::kMalformed, {"blk.1.attn_q.weight: paddedColumns is ", words},
                           [&] { lay_out(*model, recipe, {}); });
    };
    refused(GGML_TYPE_Q6_K, 512, "512; rows of 96 want 256 for blocks of 256 (q6_K)");
    refused(GGML_TYPE_Q4_0, 128, "128; rows of 96 divide into blocks of 32 (q4_0)");
    refused(GGML_TYPE_Q4_0, 64, "64; rows of 96 divide into blocks of 32 (q4_0)");
}

TEST(LayOut, BlocksWithoutHeadsHaveNoAttentionTensors) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "t.gguf"));
    const OutputLayout layout = lay_out(*model, tiny_recipe(*model, {.kept_heads = {{}, {0, 1, 2, 3}}}), {});
    for (const char* name : {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output"})
        EXPECT_FALSE(has(layout, std::string("blk.0.") + name + ".weight")) << name;
    EXPECT_TRUE(has(layout, "blk.0.ffn_norm.weight"));
    EXPECT_TRUE(has(layout, "blk.1.attn_norm.weight"));
}

TEST(LayOut, SaysInMetadataWhatItHolds) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "t.gguf"));
    const Recipe recipe = tiny_recipe(
        *model, {.kept_heads = {{2, 3}, {0, 1, 2, 3}}, .type = GGML_TYPE_F16, .embedding_type = GGML_TYPE_Q8_0});
    const GgufMetadata metadata = lay_out(*model, recipe, {}).file.metadata;
    EXPECT_EQ(metadata.entries().front().first, "general.architecture");
    EXPECT_EQ(metadata.text("general.architecture"), "deci");
    EXPECT_EQ(metadata.integer("general.quantization_version"), GGML_QNT_VERSION);
    EXPECT_EQ(metadata.integer("general.file_type"), 1);  // most bytes are F16
    EXPECT_EQ(metadata.integers_per_layer("deci.attention.head_count", 2), (std::vector<std::int64_t>{2, 4}));
    EXPECT_EQ(metadata.text("continuum.compression_recipe"), recipe_to_json(recipe));
    EXPECT_EQ(*metadata.array<std::int32_t>("continuum.per_layer_head_counts"), (std::vector<std::int32_t>{2, 4}));
    EXPECT_EQ(*metadata.array<std::int32_t>("continuum.per_layer_kv_head_counts"), (std::vector<std::int32_t>{1, 2}));
    EXPECT_EQ(metadata.array<float>("continuum.utilization_scores")->size(), 8u);
    EXPECT_EQ(*metadata.array<std::string>("continuum.source_sha256"), (std::vector{std::string(64, '0')}));
    EXPECT_TRUE(metadata.contains("tokenizer.ggml.tokens"));
    EXPECT_FALSE(lay_out(*model, recipe, {.with_tokenizer = false}).file.metadata.contains("tokenizer.ggml.tokens"));
}

TEST(LayOut, KnowsItsSizeBeforeItsSourcesAreHashed) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "t.gguf"));
    OutputLayout layout = lay_out(*model, tiny_recipe(*model), {});
    const std::uint64_t before = layout.file.file_bytes();
    state_sources(layout, {std::string(64, 'a')});
    EXPECT_EQ(layout.file.file_bytes(), before);
    EXPECT_EQ(*layout.file.metadata.array<std::string>("continuum.source_sha256"), (std::vector{std::string(64, 'a')}));
}

TEST(LayOut, NothingQuantisedHasNoQuantizationVersion) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "t.gguf", {.n_ff = 64, .matrix_type = GGML_TYPE_Q8_0}));
    const Recipe recipe = tiny_recipe(*model, {.type = GGML_TYPE_F16, .embedding_type = GGML_TYPE_F16});
    EXPECT_FALSE(lay_out(*model, recipe, {}).file.metadata.contains("general.quantization_version"));
}

TEST(LayOut, VectorsAreF32WhateverThePatternsSay) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "q.gguf", {.architecture = "qwen2"}));
    const OutputLayout layout = lay_out(*model, tiny_recipe(*model, {.type = GGML_TYPE_F16}), {});
    EXPECT_EQ(tensor_named(layout, "blk.0.attn_norm.weight").spec.type, GGML_TYPE_F32);
    EXPECT_EQ(tensor_named(layout, "blk.0.attn_q.bias").spec.type, GGML_TYPE_F32);
    EXPECT_EQ(tensor_named(layout, "blk.0.attn_q.weight").spec.type, GGML_TYPE_F16);
}

TEST(LayOut, RefusesTypesWhoseBlocksDoNotFitAndWrongArchitectures) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "t.gguf"));
    Recipe recipe = tiny_recipe(*model);
    recipe.tensor_quant_map = {{"*", GGML_TYPE_Q4_K, "too wide"}};
    try {
        lay_out(*model, recipe, {});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
        EXPECT_NE(std::string(error.what()).find("blk.0.attn_q.weight: rows of 32 do not divide into blocks of 256"),
                  std::string::npos);
    }
    recipe = tiny_recipe(*model);
    recipe.output_architecture = "deci";
    EXPECT_THROW(lay_out(*model, recipe, {}), Error);
}

TEST(KvCacheBytes, SumsOverLayersAndRoundsRowsUpToBlocks) {
    Architecture architecture;
    architecture.head_dim = 64;
    architecture.layers = {{4, 2, 1}, {2, 1, 1}, {0, 0, 1}};
    EXPECT_EQ(kv_cache_bytes(architecture, 100, GGML_TYPE_F16), 2u * 100 * (128 + 64) * 2);
    EXPECT_EQ(kv_cache_bytes(architecture, 100, GGML_TYPE_Q8_0), 2u * 100 * (4 + 2) * 34);
}

}  // namespace
}  // namespace plasticity
