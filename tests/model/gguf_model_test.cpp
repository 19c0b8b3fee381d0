#include "model/gguf_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "core/error.h"
#include "model/model.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

using test::TempDir;
using test::TinyModelOptions;
using test::write_tiny_gguf;

const GgufTensorSpec& spec_named(const GgufLayout& layout, std::string_view name) {
    return *std::ranges::find(layout.tensors, name, &GgufTensorSpec::name);
}

TEST(OpenGguf, ReadsGeometryOfLlama) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf"));
    const Architecture& architecture = model->architecture();
    EXPECT_EQ(architecture.name, "llama");
    EXPECT_EQ(architecture.model_name, "tiny");
    EXPECT_EQ(architecture.n_layer(), 2);
    EXPECT_EQ(architecture.layers[1], (LayerGeometry{4, 2, 48}));
    EXPECT_EQ(architecture.head_dim, 8);
    EXPECT_EQ(architecture.n_vocab, test::kTinyVocabulary);
    EXPECT_EQ(architecture.rope_layout, RopeLayout::kNorm);
    EXPECT_TRUE(architecture.tied_embeddings);
    EXPECT_FALSE(model->find({TensorRole::kOutput}));
    EXPECT_EQ(model->tensors().size(), 2u + 2 * 9);
}

TEST(OpenGguf, ReadsBiasesAndOutputOfQwen2) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "q.gguf", {.architecture = "qwen2", .tied = false}));
    EXPECT_EQ(model->architecture().rope_layout, RopeLayout::kNeox);
    EXPECT_FALSE(model->architecture().tied_embeddings);
    EXPECT_EQ(model->require({TensorRole::kOutput}).rows, test::kTinyVocabulary);
    const ModelTensor& bias = model->require({TensorRole::kKey, 1, true});
    EXPECT_TRUE(bias.is_vector);
    EXPECT_EQ(bias.rows, 1);
    EXPECT_EQ(bias.cols, 16);
}

TEST(OpenGguf, ReadsPerLayerGeometryOfDeci) {
    const TempDir dir;
    const std::vector<LayerGeometry> layers{{4, 2, 48}, {2, 1, 64}, {0, 0, 32}};
    const auto model = open_model(write_tiny_gguf(dir / "d.gguf", {.architecture = "deci", .layers = layers}));
    EXPECT_EQ(model->architecture().layers, layers);
    EXPECT_FALSE(model->architecture().is_uniform());
    EXPECT_EQ(model->require({TensorRole::kQuery, 1}).rows, 16);
    EXPECT_EQ(model->require({TensorRole::kAttentionOutput, 1}).cols, 16);
    EXPECT_FALSE(model->find({TensorRole::kAttentionNorm, 2}));
}

TEST(OpenGguf, OrdersTensorsEmbeddingBlocksOutput) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf", {.tied = false}));
    EXPECT_EQ(model->tensors().front().id.role, TensorRole::kTokenEmbedding);
    EXPECT_EQ(model->tensors().back().id.role, TensorRole::kOutput);
    int last_layer = 0;
    for (const ModelTensor& tensor : model->tensors()) {
        if (tensor.id.layer < 0) continue;
        EXPECT_GE(tensor.id.layer, last_layer);
        last_layer = tensor.id.layer;
    }
}

TEST(OpenGguf, CarriesTokenizerAndGeneralKeysOver) {
    const TempDir dir;
    GgufLayout layout = test::tiny_layout();
    layout.metadata.set("general.license", std::string("apache-2.0"));
    layout.metadata.set("general.file_type", std::uint32_t{1});
    layout.metadata.set("general.quantization_version", std::uint32_t{2});
    const auto model = open_model(test::write_tiny_layout(dir / "tiny.gguf", layout));
    EXPECT_EQ(model->general().text("general.license"), "apache-2.0");
    EXPECT_EQ(model->general().text("general.name"), "tiny");
    for (const char* key : {"general.file_type", "general.quantization_version", "general.architecture"})
        EXPECT_FALSE(model->general().contains(key)) << key;
    EXPECT_EQ(model->tokenizer().entries().size(), test::tiny_tokenizer().entries().size());
}

TEST(ReadRows, GivesWhatWasWritten) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf"));
    const GgufLayout layout = test::tiny_layout();
    const auto expected = test::tiny_weights(spec_named(layout, "blk.1.ffn_down.weight"), 1);
    EXPECT_EQ(test::all_values(*model, {TensorRole::kDown, 1}), expected);

    const ModelTensor& down = model->require({TensorRole::kDown, 1});
    std::vector<float> two_rows(2 * down.cols);
    model->read_rows_f32(down, 3, 2, two_rows);
    for (std::int64_t i = 0; i < std::ssize(two_rows); ++i) EXPECT_EQ(two_rows[i], expected[3 * down.cols + i]);
}

TEST(ReadRows, DequantisesWithinTheStepOfTheType) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "q8.gguf", {.n_ff = 64, .matrix_type = GGML_TYPE_Q8_0}));
    const GgufLayout layout = test::tiny_layout({.n_ff = 64, .matrix_type = GGML_TYPE_Q8_0});
    const auto expected = test::tiny_weights(spec_named(layout, "blk.0.attn_q.weight"), 1);
    const auto got = test::all_values(*model, {TensorRole::kQuery, 0});
    ASSERT_EQ(got.size(), expected.size());
    for (std::size_t i = 0; i < got.size(); ++i)  // 8 bits over [-max, max] with max ≤ √(3/32): half a step, and slack
        EXPECT_NEAR(got[i], expected[i], 0.31 / 127 * 0.6);
}

/// Rows of 32 channels in blocks of 256.
GgufLayout layout_with_padded_columns() {
    GgufLayout layout = test::tiny_layout();
    for (GgufTensorSpec& tensor : layout.tensors)
        if (tensor.n_dims == 2 && tensor.dims[0] == 32) {
            tensor.type = GGML_TYPE_Q6_K;
            tensor.dims[0] = 256;
        }
    layout.metadata.set("continuum.padded_columns", true);
    return layout;
}

TEST(ReadRows, LeavesPaddedColumnsOut) {
    const TempDir dir;
    const GgufLayout layout = layout_with_padded_columns();
    const auto model = open_model(test::write_tiny_layout(dir / "p.gguf", layout));
    const ModelTensor& matrix = model->require({TensorRole::kUp, 1});
    EXPECT_EQ(matrix.cols, 32);
    EXPECT_EQ(matrix.row_length(), 256);
    EXPECT_EQ(matrix.row_bytes(), ggml_row_size(GGML_TYPE_Q6_K, 256));
    EXPECT_EQ(model->require({TensorRole::kDown, 1}).padded_cols, 0) << "48 columns in F32";

    std::vector<std::byte> stored(matrix.bytes());
    model->read_rows(matrix, 0, matrix.rows, stored);
    std::vector<float> whole(48 * 256), part(5 * 32);
    ggml_get_type_traits(GGML_TYPE_Q6_K)->to_float(stored.data(), whole.data(), std::ssize(whole));
    model->read_rows_f32(matrix, 7, 5, part);
    for (std::size_t row = 0; row < 5; ++row)
        for (std::size_t col = 0; col < 32; ++col) EXPECT_EQ(part[row * 32 + col], whole[(7 + row) * 256 + col]);
}

/// A file in which the embedding is stored twice, both padded, in two types.
TEST(OpenGguf, FindsATiedCopyWithPaddedColumns) {
    const TempDir dir;
    GgufLayout layout = layout_with_padded_columns();
    layout.tensors.push_back({.name = "output.weight", .type = GGML_TYPE_Q4_K, .n_dims = 2, .dims = {256, 264, 1, 1}});
    const std::vector<float> values = test::tiny_weights(spec_named(layout, "token_embd.weight"), 1);
    GgufWriter writer(dir / "twice.gguf", layout, Overwrite::kRefuse);
    for (const GgufTensorSpec& tensor : layout.tensors) {
        std::vector<float> weights = tensor.name == "output.weight" ? values : test::tiny_weights(tensor, 1);
        if (tensor.dims[0] == 256)
            for (std::size_t i = 0; i < weights.size(); ++i)
                if (i % 256 >= 32) weights[i] = 0;
        std::vector<std::byte> stored(tensor.bytes());
        ggml_quantize_chunk(tensor.type, weights.data(), stored.data(), 0, tensor.dims[1], tensor.dims[0], nullptr);
        writer.write(tensor.name, stored);
    }
    writer.finish();
    const auto model = open_model(dir / "twice.gguf");
    ASSERT_TRUE(model->tied_copy());
    EXPECT_EQ(model->tied_copy()->name, "output.weight");
    EXPECT_EQ(model->require({TensorRole::kTokenEmbedding}).row_length(), 256);
}

TEST(ReadRows, RefusesRowsOutsideTheTensor) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf"));
    const ModelTensor& key = model->require({TensorRole::kKey, 0});
    std::vector<float> row(key.cols);
    EXPECT_THROW(model->read_rows_f32(key, key.rows, 1, row), Error);
    EXPECT_THROW(model->read_rows_f32(key, -1, 1, row), Error);
}

TEST(ModelIdentity, DependsOnTheWeightsAlone) {
    const TempDir dir;
    const std::string hash = model_sha256(*open_model(write_tiny_gguf(dir / "a.gguf")));
    EXPECT_EQ(hash.size(), 64u);
    EXPECT_EQ(model_sha256(*open_model(write_tiny_gguf(dir / "b.gguf"))), hash);
    EXPECT_NE(model_sha256(*open_model(write_tiny_gguf(dir / "c.gguf", {.seed = 2}))), hash);
}

TEST(OpenModel, KnowsItsOwnFiles) {
    const TempDir dir;
    const auto path = write_tiny_gguf(dir / "tiny.gguf");
    const auto model = open_model(path);
    std::filesystem::create_symlink(path, dir / "link.gguf");
    EXPECT_TRUE(model->reads_from(dir / "link.gguf"));
    EXPECT_FALSE(model->reads_from(dir / "other.gguf"));
    EXPECT_NO_THROW(model->require_unchanged());
}

TEST(OpenModel, NamesAMissingPath) {
    try {
        open_model("no/such/model.gguf");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMissing);
        EXPECT_NE(std::string(error.what()).find("no/such/model.gguf"), std::string::npos);
    }
}

struct Spoiled {
    const char* name;
    std::function<void(GgufLayout&)> spoil;
    std::vector<std::string> expected;  ///< all of these stand in the one message
    TinyModelOptions options = {};
};

GgufTensorSpec& tensor_named(GgufLayout& layout, std::string_view name) {
    return *std::ranges::find(layout.tensors, name, &GgufTensorSpec::name);
}

class OpenSpoiledGguf : public testing::TestWithParam<Spoiled> {};

TEST_P(OpenSpoiledGguf, SaysWhatIsWrong) {
    const TempDir dir;
    GgufLayout layout = test::tiny_layout(GetParam().options);
    GetParam().spoil(layout);
    const auto path = test::write_tiny_layout(dir / "bad.gguf", layout);
    try {
        open_model(path);
        FAIL() << "opened";
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
        EXPECT_NE(message.find(path.string()), std::string::npos) << message;
        for (const std::string& part : GetParam().expected)
            EXPECT_NE(message.find(part), std::string::npos) << part << "\nis not in\n" << message;
    }
}

std::vector<Spoiled> spoiled_files() {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const auto set = [](const char* key, GgufValue value) {
        return [=](GgufLayout& layout) { layout.metadata.set(key, value); };
    };
    const auto set_count = [&](const char* key, std::uint32_t value) { return set(key, value); };
    const auto drop_tensor = [](const char* name) {
        return [=](GgufLayout& layout) { std::erase_if(layout.tensors, [&](auto& t) { return t.name == name; }); };
    };
    return {
        {"UnknownArchitecture",
         set("general.architecture", std::string("mamba")),
         {"\"mamba\"", "deci, gemma3, granite, llama, phi3, qwen2, qwen3, qwen3moe, smollm3"}},
        {"NoBlocks", set_count("llama.block_count", 0), {"llama.block_count: got 0; expected 1 to 512"}},
        {"AbsurdBlocks", set_count("llama.block_count", 4'000'000'000u), {"llama.block_count"}},
        {"OneBlockTooMany", set_count("llama.block_count", 513), {"llama.block_count: got 513; expected 1 to 512"}},
        {"MoreBlocksThanTensors", set_count("llama.block_count", 3), {"blk.2.attn_q.weight: missing"}},
        {"FewerBlocksThanTensors", set_count("llama.block_count", 1), {"unknown weight", "blk.1.attn_q.weight"}},
        {"ZeroHeads", set_count("llama.attention.head_count", 0), {"query heads and 2 KV heads"}},
        {"HeadsNoMultiple", set_count("llama.attention.head_count_kv", 3), {"got 4 query heads", "3 KV heads"}},
        {"QueryRows",
         set_count("llama.attention.head_count", 6),
         {"blk.0.attn_q.weight: got shape [32 × 32]; expected [48 × 32]"}},
        {"LongerRowsUnannounced",
         [](GgufLayout& layout) {
             layout = layout_with_padded_columns();
             layout.metadata.erase("continuum.padded_columns");
         },
         {"blk.0.attn_q.weight: got shape [32 × 256]; expected [32 × 32]", "token_embd.weight: got shape"}},
        {"LongerRowsThanBlocksWant",
         [](GgufLayout& layout) {
             layout = layout_with_padded_columns();
             tensor_named(layout, "blk.1.ffn_up.weight").dims[0] = 512;
         },
         {"blk.1.ffn_up.weight: got shape [48 × 512]; expected [48 × 32]"}},
        {"LongerRowsWithoutBlocks",
         [](GgufLayout& layout) {
             layout.metadata.set("continuum.padded_columns", true);
             tensor_named(layout, "blk.1.ffn_up.weight").dims[0] = 256;
         },
         {"blk.1.ffn_up.weight: got shape [48 × 256]; expected [48 × 32]"}},
        {"LongerVectors",
         [](GgufLayout& layout) {
             layout.metadata.set("continuum.padded_columns", true);
             tensor_named(layout, "output_norm.weight").dims[0] = 256;
         },
         {"output_norm.weight: got shape [256]; expected [32]"}},
        {"PaddedColumnsOfAnotherType", set("continuum.padded_columns", std::uint32_t{1}), {"continuum.padded_columns"}},
        {"OddHeadDim", set_count("llama.attention.key_length", 7), {"even number", "value_length: got 8"}},
        {"PartialRotation", set_count("llama.rope.dimension_count", 4), {"rotated dimensions: got 4; expected all 8"}},
        {"HugeWidth", set("llama.embedding_length", std::uint64_t{1} << 62), {"llama.embedding_length", "no model"}},
        {"NanEpsilon", set("llama.attention.layer_norm_rms_epsilon", kNan), {"RMSNorm epsilon: got nan"}},
        {"InfiniteBase", set("llama.rope.freq_base", kInfinity), {"RoPE frequency base: got inf"}},
        {"NegativeScaling", set("llama.rope.scaling.factor", -2.0f), {"RoPE scaling factor: got -2"}},
        {"UnknownScaling",
         set("llama.rope.scaling.type", std::string("longrope")),
         {"longrope", "none, linear or yarn"}},
        {"WrongKeyType", set("llama.context_length", std::string("long")), {"llama.context_length"}},
        {"Experts", set_count("llama.expert_count", 8), {"mixtures of experts"}},
        {"SplitFile", set("split.count", std::uint16_t{3}), {"split.count: one of 3 parts"}},
        {"VocabularySize", set_count("llama.vocab_size", 263), {"llama.vocab_size: got 263; expected the 264 entries"}},
        {"TypesTooFew",
         set("tokenizer.ggml.token_type", GgufArray(std::vector<std::int32_t>{1, 1})),
         {"tokenizer.ggml.token_type: got 2 entries"}},
        {"TypesNarrower",
         set("tokenizer.ggml.token_type", GgufArray(std::vector<std::int8_t>(264, 1))),
         {"tokenizer.ggml.token_type", "array of i8; expected array of i32"}},
        {"ScoresNarrower",
         set("tokenizer.ggml.scores", GgufArray(std::vector<std::uint8_t>(264))),
         {"tokenizer.ggml.scores", "array of u8; expected array of f32"}},
        {"TokensNoTexts",
         set("tokenizer.ggml.tokens", GgufArray(std::vector<std::uint8_t>(264))),
         {"tokenizer.ggml.tokens", "array of u8; expected array of str"}},
        {"MergesNoTexts",
         set("tokenizer.ggml.merges", GgufArray(std::vector<float>(3))),
         {"tokenizer.ggml.merges", "array of f32; expected array of str"}},
        {"SpecialIdNegative",
         set("tokenizer.ggml.bos_token_id", std::int32_t{-1}),
         {"tokenizer.ggml.bos_token_id: got -1; expected an id below 264"}},
        {"ScoresTooMany",
         set("tokenizer.ggml.scores", GgufArray(std::vector<float>(265))),
         {"tokenizer.ggml.scores: got 265"}},
        {"SpecialIdOutside",
         set_count("tokenizer.ggml.eos_token_id", 264),
         {"tokenizer.ggml.eos_token_id: got 264; expected an id below 264"}},
        {"TokenTwice",
         [](GgufLayout& layout) {
             auto tokens = *layout.metadata.array<std::string>("tokenizer.ggml.tokens");
             tokens[7] = tokens[3];
             layout.metadata.set("tokenizer.ggml.tokens", GgufArray(tokens));
         },
         {"tokens 3 and 7 are both"}},
        {"TokenizerOfAnotherKind",
         set("tokenizer.ggml.model", std::string("plamo2")),
         {"tokenizer.ggml.model: got 'plamo2'; expected gpt2 or llama"}},
        {"NoVocabularyButTokens", set("tokenizer.ggml.model", std::string("none")), {"got 'none'"}},
        {"TokensThatDifferAfterNul",
         [](GgufLayout& layout) {
             auto tokens = *layout.metadata.array<std::string>("tokenizer.ggml.tokens");
             tokens[7] = std::string("x\0y", 3);
             tokens[3] = std::string("x\0z", 3);
             layout.metadata.set("tokenizer.ggml.tokens", GgufArray(tokens));
         },
         {"tokens 3 and 7 are both"}},
        {"TokenNamedAsAnEmptyOne",
         [](GgufLayout& layout) {
             auto tokens = *layout.metadata.array<std::string>("tokenizer.ggml.tokens");
             tokens[3].clear();
             tokens[7] = "[EMPTY_3]";
             layout.metadata.set("tokenizer.ggml.tokens", GgufArray(tokens));
         },
         {"tokens 3 and 7 are both"}},
        {"ByteTokenSpeltOtherwise",
         [](GgufLayout& layout) {
             auto types = *layout.metadata.array<std::int32_t>("tokenizer.ggml.token_type");
             types[65] = 6;
             layout.metadata.set("tokenizer.ggml.token_type", GgufArray(types));
         },
         {"token 65 is", "of type byte; expected one like <0x0A>"}},
        {"MissingTensor",
         drop_tensor("blk.1.ffn_up.weight"),
         {"blk.1.ffn_up.weight: missing; expected shape [48 × 32]"}},
        {"UnknownTensor",
         [](GgufLayout& layout) {
             layout.tensors.push_back({.name = "blk.0.attn_q_norm.weight", .dims = {8, 1, 1, 1}});
         },
         {"blk.0.attn_q_norm.weight", "unknown"}},
        {"OutputBias",
         [](GgufLayout& layout) {
             layout.tensors.push_back({.name = "blk.0.attn_output.bias", .dims = {32, 1, 1, 1}});
         },
         {"blk.0.attn_output.bias", "unknown"}},
        {"VectorAsMatrix",
         [](GgufLayout& layout) { tensor_named(layout, "blk.0.attn_norm.weight").n_dims = 2; },
         {"blk.0.attn_norm.weight: got shape [1 × 32]; expected [32]"}},
        {"ThreeDimensions",
         [](GgufLayout& layout) {
             GgufTensorSpec& tensor = tensor_named(layout, "blk.0.ffn_up.weight");
             tensor.n_dims = 3;
             tensor.dims = {32, 24, 2, 1};
         },
         {"blk.0.ffn_up.weight: got 3 dimensions", "blk.0.ffn_up.weight: missing"}},
        {"DeciArrayTooShort",
         set("deci.attention.head_count", GgufArray(std::vector<std::int32_t>{4})),
         {"deci.attention.head_count"},
         {.architecture = "deci"}},
        {"DeciLinearAttention",
         set("deci.attention.head_count_kv", GgufArray(std::vector<std::int32_t>{2, 0})),
         {"block 1: got 4 query heads and 0 KV heads"},
         {.architecture = "deci"}},
        {"DeciNoFeedForward",
         set("deci.feed_forward_length", GgufArray(std::vector<std::int32_t>{48, 0})),
         {"block 1: feed-forward width: got 0"},
         {.architecture = "deci"}},
        {"SeveralProblems",
         [](GgufLayout& layout) {
             layout.metadata.set("tokenizer.ggml.bos_token_id", std::uint32_t{999});
             std::erase_if(layout.tensors, [](auto& t) { return t.name == "output_norm.weight"; });
         },
         {"2 problems", "tokenizer.ggml.bos_token_id", "output_norm.weight: missing"}},
    };
}

INSTANTIATE_TEST_SUITE_P(Malformed, OpenSpoiledGguf, testing::ValuesIn(spoiled_files()),
                         [](const auto& spoiled) { return std::string(spoiled.param.name); });

}  // namespace
}  // namespace plasticity
