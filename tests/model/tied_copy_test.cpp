#include "model/tied_copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/progress.h"
#include "io/gguf_reader.h"
#include "io/safetensors_reader.h"
#include "model/gguf_export.h"
#include "model/hf_export.h"
#include "model/model.h"
#include "support/file_content.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

using test::all_values;
using test::TempDir;

constexpr const char* kEmbedding = "token_embd.weight";
constexpr const char* kOutput = "output.weight";
constexpr std::int32_t kWidth = 256;

/// Values of one matrix, to be changed in one of its copies.
using Change = std::function<void(std::vector<float>&)>;

struct Copies {
    ggml_type embedding = GGML_TYPE_F32;
    ggml_type output = GGML_TYPE_F32;
    Change embedding_change = [](std::vector<float>&) {};
    Change output_change = [](std::vector<float>&) {};
};

std::vector<float> matrix() {
    const GgufLayout layout = test::tiny_layout({.n_embd = kWidth});
    return test::tiny_weights(*std::ranges::find(layout.tensors, kEmbedding, &GgufTensorSpec::name), 1);
}

/// A model that holds one matrix twice.
std::filesystem::path write_copies(const std::filesystem::path& path, const Copies& copies) {
    GgufLayout layout = test::tiny_layout({.n_embd = kWidth, .tied = false});
    for (GgufTensorSpec& tensor : layout.tensors) {
        if (tensor.name == kEmbedding) tensor.type = copies.embedding;
        if (tensor.name == kOutput) tensor.type = copies.output;
    }
    GgufWriter writer(path, layout, Overwrite::kReplace);
    for (const GgufTensorSpec& tensor : layout.tensors) {
        const bool is_copy = tensor.name == kEmbedding || tensor.name == kOutput;
        std::vector<float> values = is_copy ? matrix() : test::tiny_weights(tensor, 1);
        if (tensor.name == kEmbedding) copies.embedding_change(values);
        if (tensor.name == kOutput) copies.output_change(values);
        std::vector<std::byte> stored(tensor.bytes());
        ggml_quantize_chunk(tensor.type, values.data(), stored.data(), 0, tensor.dims[1], tensor.dims[0], nullptr);
        writer.write(tensor.name, stored);
    }
    writer.finish();
    return path;
}

Change change_row(std::int64_t row) {
    return [row](std::vector<float>& values) {
        for (std::int64_t col = 0; col < kWidth; ++col)
            values[static_cast<std::size_t>(row * kWidth + col)] = col % 2 == 0 ? 0.1f : -0.1f;
    };
}

void fill_with_zeros(std::vector<float>& values) {
    std::ranges::fill(values, 0.0f);
}

class TiedCopies : public testing::Test {
protected:
    std::unique_ptr<Model> open(const Copies& copies) { return open_model(write_copies(dir / "copies.gguf", copies)); }

    TempDir dir;
};

TEST_F(TiedCopies, OfAFinerOutputLeaveTheOutputAsEmbedding) {
    const auto model = open({.embedding = GGML_TYPE_Q4_K, .output = GGML_TYPE_Q8_0});
    ASSERT_TRUE(model->tied_copy());
    EXPECT_EQ(model->tied_copy()->name, kEmbedding);
    EXPECT_EQ(model->tied_copy()->type, GGML_TYPE_Q4_K);
    EXPECT_EQ(model->tied_copy()->bytes, test::kTinyVocabulary * ggml_row_size(GGML_TYPE_Q4_K, kWidth));
    EXPECT_GT(*model->tied_copy()->relative_error, 0.01);
    EXPECT_LT(*model->tied_copy()->relative_error, 0.15);

    EXPECT_TRUE(model->architecture().tied_embeddings);
    EXPECT_EQ(model->find({TensorRole::kOutput}), nullptr);
    EXPECT_EQ(model->require({TensorRole::kTokenEmbedding}).type, GGML_TYPE_Q8_0);
    const auto kept = all_values(*model, {TensorRole::kTokenEmbedding}), wanted = matrix();
    for (std::size_t i = 0; i < kept.size(); ++i)  // half a step of 8 bits over at most √(3/256), and slack
        ASSERT_NEAR(kept[i], wanted[i], 0.11 / 127 * 0.6);
}

TEST_F(TiedCopies, OfAFinerEmbeddingLeaveIt) {
    const auto model = open({.embedding = GGML_TYPE_F16, .output = GGML_TYPE_Q3_K});
    ASSERT_TRUE(model->tied_copy());
    EXPECT_EQ(model->tied_copy()->name, kOutput);
    EXPECT_EQ(model->require({TensorRole::kTokenEmbedding}).type, GGML_TYPE_F16);
    EXPECT_EQ(model->find({TensorRole::kOutput}), nullptr);
}

TEST_F(TiedCopies, OfAsManyBitsLeaveTheOutput) {
    const auto model = open({.embedding = GGML_TYPE_IQ4_NL, .output = GGML_TYPE_Q4_K});
    ASSERT_TRUE(model->tied_copy());
    EXPECT_EQ(model->tied_copy()->name, kEmbedding);
}

TEST_F(TiedCopies, AreFoundForEveryTypeOfThreeBitsAndMore) {
    for (const ggml_type type : {GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q6_K, GGML_TYPE_Q5_K,
                                 GGML_TYPE_Q5_0, GGML_TYPE_Q4_K, GGML_TYPE_Q4_0, GGML_TYPE_IQ4_XS, GGML_TYPE_Q3_K})
        EXPECT_TRUE(open({.embedding = type})->tied_copy()) << ggml_type_name(type);
    EXPECT_FALSE(open({.embedding = GGML_TYPE_Q2_K})->tied_copy()) << "a quarter of it is gone";
}

TEST_F(TiedCopies, AreNotTwoMatrices) {
    TempDir other;
    const auto unlike = open_model(write_copies(
        other / "m.gguf", {.embedding = GGML_TYPE_Q4_K, .output = GGML_TYPE_Q8_0, .output_change = [](auto& values) {
                               std::ranges::reverse(values);
                           }}));
    EXPECT_FALSE(unlike->tied_copy());
    EXPECT_FALSE(unlike->architecture().tied_embeddings);
    EXPECT_TRUE(unlike->find({TensorRole::kOutput}));
    // As far apart as fine-tuning drives them: 3 %, which eight bits would show.
    const auto tuned =
        open({.embedding = GGML_TYPE_F16, .output = GGML_TYPE_Q8_0, .embedding_change = [](auto& values) {
                  for (std::size_t i = 0; i < values.size(); ++i) values[i] *= i % 2 == 0 ? 1.03f : 0.97f;
              }});
    EXPECT_FALSE(tuned->tied_copy());
}

TEST_F(TiedCopies, DifferWhereAnAddedTokenWasTrainedAlone) {
    const Copies copies{
        .embedding = GGML_TYPE_Q4_K, .output = GGML_TYPE_Q8_0, .embedding_change = change_row(test::kTinyMessageEnd)};
    EXPECT_FALSE(open(copies)->tied_copy());
}

TEST_F(TiedCopies, OfOneTypeAreTheSameThroughout) {
    const auto same = open({});
    ASSERT_TRUE(same->tied_copy());
    EXPECT_EQ(same->tied_copy()->name, kOutput);
    EXPECT_EQ(same->tied_copy()->relative_error, 0);
    for (const std::int64_t row : {0, 1, 2, 130, 131, 132, 133, 263})  // of those looked at first, and others
        ASSERT_FALSE(open({.output_change = change_row(row)})->tied_copy()) << row;
}

TEST_F(TiedCopies, AreNotSeenInZeros) {
    EXPECT_FALSE(open({.embedding_change = fill_with_zeros, .output_change = fill_with_zeros})->tied_copy());
    const Copies unlike{
        .embedding = GGML_TYPE_F16, .embedding_change = fill_with_zeros, .output_change = fill_with_zeros};
    EXPECT_FALSE(open(unlike)->tied_copy());
}

/// Such a weight is reported where it is used; here it only must not pass for a copy, nor reach a quantiser.
TEST_F(TiedCopies, AreNotSeenInWhatIsNotFinite) {
    const auto spoil = [](std::vector<float>& values) { values[5] = std::numeric_limits<float>::quiet_NaN(); };
    EXPECT_FALSE(open({.embedding = GGML_TYPE_Q4_K, .output_change = spoil})->tied_copy());
    EXPECT_FALSE(open({.embedding = GGML_TYPE_F16, .embedding_change = spoil})->tied_copy());
}

TEST_F(TiedCopies, OfTokensNeverTrainedMayVanishInTheirScales) {
    const auto tiny_row = [](std::vector<float>& values) {
        for (std::int32_t col = 0; col < kWidth; ++col) values[static_cast<std::size_t>(col)] *= 1e-6f;
    };
    const Copies copies{.embedding = GGML_TYPE_Q4_0, .embedding_change = tiny_row, .output_change = tiny_row};
    EXPECT_TRUE(open(copies)->tied_copy());
}

TEST_F(TiedCopies, AreOneModelWithWhatIsExportedFromThem) {
    const auto model = open({.embedding = GGML_TYPE_Q4_K, .output = GGML_TYPE_Q8_0});
    const auto quiet = make_progress(ProgressStyle::kQuiet);
    export_gguf(*model, {.file = dir / "once.gguf"}, *quiet);
    EXPECT_EQ(GgufReader(dir / "once.gguf").find(kOutput), nullptr);
    const auto once = open_model(dir / "once.gguf");
    EXPECT_FALSE(once->tied_copy());
    EXPECT_EQ(model_sha256(*once), model_sha256(*model));
}

/// A folder of an untied model whose lm_head then is made a copy of the embedding.
class TiedCopiesOfAFolder : public testing::Test {
protected:
    void SetUp() override {
        export_hf(*open_model(test::write_tiny_gguf(dir / "tiny.gguf", {.tied = false})),
                  {.folder = dir / "hf", .dtype = "bf16"}, *make_progress(ProgressStyle::kQuiet));
    }

    void copy_embedding_to_head() {
        const auto path = dir / "hf" / "model.safetensors";
        std::string bytes = test::read_bytes(path);
        const SafetensorsReader file(path);
        const SafetensorsEntry *embedding = file.find("model.embed_tokens.weight"), *head = file.find("lm_head.weight");
        ASSERT_EQ(embedding->bytes, head->bytes);
        std::memcpy(bytes.data() + head->offset, bytes.data() + embedding->offset, head->bytes);
        test::write_bytes(path, bytes);
    }

    void set_tied(const nlohmann::json& value) {
        auto config = nlohmann::json::parse(test::read_bytes(dir / "hf" / "config.json"));
        if (value.is_null())
            config.erase("tie_word_embeddings");
        else
            config["tie_word_embeddings"] = value;
        test::write_bytes(dir / "hf" / "config.json", config.dump());
    }

    TempDir dir;
};

TEST_F(TiedCopiesOfAFolder, AreFoundWhateverItsConfigSays) {
    copy_embedding_to_head();
    for (const nlohmann::json& value : {nlohmann::json(false), nlohmann::json(nullptr)}) {
        set_tied(value);
        const auto model = open_model(dir / "hf");
        ASSERT_TRUE(model->tied_copy()) << value;
        EXPECT_EQ(model->tied_copy()->name, kOutput);
        EXPECT_EQ(model->tied_copy()->relative_error, 0);
        EXPECT_TRUE(model->architecture().tied_embeddings);
        EXPECT_EQ(model->find({TensorRole::kOutput}), nullptr);
    }
}

TEST_F(TiedCopiesOfAFolder, AreTwoMatricesWhereTheyDiffer) {
    for (const nlohmann::json& value : {nlohmann::json(false), nlohmann::json(nullptr)}) {
        set_tied(value);
        const auto model = open_model(dir / "hf");
        EXPECT_FALSE(model->tied_copy());
        EXPECT_FALSE(model->architecture().tied_embeddings);
    }
}

TEST_F(TiedCopiesOfAFolder, AreIgnoredWhereTheConfigTiesThem) {
    set_tied(true);
    const auto model = open_model(dir / "hf");
    ASSERT_TRUE(model->tied_copy());
    EXPECT_EQ(model->tied_copy()->name, kOutput);
    EXPECT_FALSE(model->tied_copy()->relative_error) << "nothing was compared";
    EXPECT_EQ(model->find({TensorRole::kOutput}), nullptr);
}

TEST(DescribeTiedCopy, SaysWhatIsLeftOutAndWhatThatSaves) {
    EXPECT_EQ(describe({kEmbedding, GGML_TYPE_Q5_0, 93'592'576, 0.0455}),
              "token_embd.weight (q5_0) is a copy of output.weight (4.5 % off): stored once, 93.6 MB less");
    EXPECT_EQ(describe({kOutput, GGML_TYPE_BF16, 1000, 0.0}),
              "output.weight (bf16) is a copy of token_embd.weight (to the bit): stored once, 1.00 kB less");
    EXPECT_EQ(describe({kOutput, GGML_TYPE_BF16, 1000, std::nullopt}),
              "output.weight (bf16) is a copy of token_embd.weight (ignored, since the model ties them): stored once, "
              "1.00 kB less");
}

}  // namespace
}  // namespace plasticity
