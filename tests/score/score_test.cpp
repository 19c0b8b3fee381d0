#include "plasticity/score.h"

#include <gtest/gtest.h>

#include <fstream>

#include "artifact/gate_gradients.h"
#include "artifact/statistics.h"
#include "core/error.h"
#include "engine/bf16_product.h"
#include "io/atomic_file.h"
#include "model/model.h"
#include "score/provenance.h"
#include "score/score_support.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using test::quiet;

class Score : public testing::Test {
protected:
    Score() {
        test::write_tiny_gguf(
            model_, {.architecture = "deci", .layers = {{4, 2, 48}, {0, 0, 32}, {2, 1, 64}}, .qkv_biases = 1});
        std::ofstream(data_) << "{\"text\": \"the inner ring, in the water\"}\n"
                             << "{\"prompt\": \"in the\", \"completion\": \" inner\"}\n"
                             << "{\"tokens\": [1, 2, 3, 4, 5]}\n";
    }

    ScoreOptions options(int threads = 1) const {
        return {.model = model_, .data = {data_}, .chunk = 8, .threads = threads};
    }

    /// The bytes of both files of a run.
    std::string files_of(int threads, const std::string& name) const {
        ScoreOptions wanted = options(threads);
        wanted.statistics = dir_ / (name + ".gguf");
        const fs::path scores = dir_ / (name + ".json");
        save_gate_gradients(score(wanted, quiet()), scores, Overwrite::kRefuse);
        std::ifstream statistics(*wanted.statistics, std::ios::binary);
        return read_text_file(scores) + std::string(std::istreambuf_iterator(statistics), {});
    }

    void expect_error(ErrorKind kind, const ScoreOptions& wanted) {
        try {
            score(wanted, quiet());
            ADD_FAILURE() << "accepted";
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kind) << error.what();
        }
    }

    test::TempDir dir_;
    fs::path model_ = dir_ / "model.gguf", data_ = dir_ / "data.jsonl";
};

TEST_F(Score, GivesTheSameBytesTwiceAndWithOtherThreads) {
    const std::string once = files_of(1, "once");
    EXPECT_EQ(files_of(1, "twice"), once);
    EXPECT_EQ(files_of(2, "two-threads"), once);
}

TEST_F(Score, SaysWhatItWasMadeFrom) {
    const GateGradients gradients = score(options(), quiet());
    const auto model = open_model(model_);
    EXPECT_EQ(gradients.model_name, "tiny");
    EXPECT_EQ(gradients.provenance.model_sha256, model_sha256(*model));
    EXPECT_EQ(gradients.provenance.tokenizer_sha256, tokenizer_sha256(model->tokenizer()));
    EXPECT_EQ(gradients.provenance.data_sha256.size(), 64u);
    EXPECT_EQ(gradients.provenance.chunk, 8);
    EXPECT_EQ(gradients.provenance.precision, multiplies_bf16() ? "bf16" : "f16");
    EXPECT_FALSE(gradients.provenance.program_version.empty());
    EXPECT_GT(gradients.mean_loss, 1);
    EXPECT_GE(gradients.num_steps, 3);
}

TEST_F(Score, GivesEveryHeadAScore) {
    const auto scores = score(options(), quiet()).layer_scores();
    ASSERT_EQ(scores.size(), 3u);
    EXPECT_EQ(scores[0].size(), 4u);
    EXPECT_EQ(scores[1].size(), 0u);
    EXPECT_EQ(scores[2].size(), 2u);
    for (const auto& layer : scores)
        for (const double head : layer) {
            EXPECT_GT(head, 0);
            EXPECT_LE(head, 1);
        }
}

TEST_F(Score, StatisticsCoverEveryMatrix) {
    ScoreOptions wanted = options();
    wanted.statistics = dir_ / "stats.gguf";
    const GateGradients gradients = score(wanted, quiet());
    const Statistics statistics = load_statistics(*wanted.statistics);
    EXPECT_EQ(statistics.matrices.size(), 7u + 3 + 7 + 1);  // tied: the embedding is the output
    EXPECT_EQ(statistics.chunk_count, gradients.num_steps);
    EXPECT_EQ(statistics.datasets, (std::vector<std::string>{"data.jsonl"}));
    for (const auto& [name, entry] : statistics.matrices)
        for (const double sum : entry.sum_of_squares) EXPECT_GT(sum, 0) << name;
}

TEST_F(Score, CurvatureIsOfEveryFewExamplesAndFollowsTheSeed) {
    ScoreOptions wanted = options();
    wanted.statistics = dir_ / "stats.gguf";
    wanted.overwrite = true;
    const auto curvature_of = [&](std::int32_t every, std::uint64_t seed) {
        wanted.curvature_every = every;
        wanted.seed = seed;
        score(wanted, quiet());
        return load_statistics(*wanted.statistics).curvature;
    };
    const auto all = curvature_of(1, 0);
    EXPECT_EQ(all.size(), 7u + 3 + 7 + 2);  // the tied embedding bends the loss as output and as what is read
    const GateGradients gradients = score(wanted, quiet());
    for (const auto& [name, entry] : all) {
        EXPECT_EQ(entry.count, gradients.num_tokens) << name;
        EXPECT_EQ(!entry.gates.empty(), name.ends_with("attn_output.weight") || name.ends_with("ffn_down.weight"))
            << name;
        double sum = 0;
        for (const double row : entry.rows) sum += row;
        EXPECT_GT(sum, 0) << name;
    }
    EXPECT_NE(curvature_of(1, 1).at("blk.0.attn_q.weight").rows, all.at("blk.0.attn_q.weight").rows);
    EXPECT_LT(curvature_of(2, 0).at("blk.0.attn_q.weight").count, gradients.num_tokens);
    EXPECT_TRUE(curvature_of(0, 0).empty());
}

TEST_F(Score, PrecisionChangesLittle) {
    ScoreOptions exact = options();
    exact.precision = "f32";
    const double loss = score(exact, quiet()).mean_loss;
    EXPECT_NEAR(score(options(), quiet()).mean_loss, loss, 1e-2);
    exact.precision = "bf16";
    EXPECT_NEAR(score(exact, quiet()).mean_loss, loss, 5e-2);
}

TEST_F(Score, StopsAfterTheTokensAskedFor) {
    ScoreOptions wanted = options();
    wanted.max_tokens = 1;
    EXPECT_EQ(score(wanted, quiet()).num_steps, 1);
}

TEST_F(Score, RefusesWhatItCannotUse) {
    ScoreOptions wanted = options();
    for (const char* precision : {"stored", "f64", ""}) {
        wanted.precision = precision;
        expect_error(ErrorKind::kUsage, wanted);
    }
    wanted = options();
    wanted.data = {dir_ / "absent"};
    expect_error(ErrorKind::kMissing, wanted);
    wanted = options();
    wanted.model = dir_ / "absent.gguf";
    expect_error(ErrorKind::kMissing, wanted);
    std::ofstream(data_) << "{\"tokens\": [1, 264]}\n";
    expect_error(ErrorKind::kMalformed, options());
}

// Before the work, not after it: the model is not even opened.
TEST_F(Score, KeepsStatisticsThatExist) {
    ScoreOptions wanted = options();
    wanted.statistics = dir_ / "stats.gguf";
    std::ofstream(*wanted.statistics) << "precious";
    wanted.model = dir_ / "absent.gguf";
    expect_error(ErrorKind::kUsage, wanted);
    EXPECT_EQ(read_text_file(*wanted.statistics), "precious");
}

TEST(TokenizerHash, SeesEveryValue) {
    GgufMetadata metadata = test::tiny_tokenizer();
    const std::string hash = tokenizer_sha256(metadata);
    EXPECT_EQ(tokenizer_sha256(test::tiny_tokenizer()), hash);
    metadata.set("tokenizer.ggml.add_bos_token", true);
    EXPECT_NE(tokenizer_sha256(metadata), hash);
    EXPECT_NE(tokenizer_sha256(test::tiny_tokenizer("qwen2")), hash);
}

}  // namespace
}  // namespace plasticity
