#include "score/gram_collector.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "artifact/gate_gradients.h"
#include "core/error.h"
#include "engine/backpropagation.h"
#include "plasticity/score.h"
#include "score/score_support.h"
#include "support/expect_error.h"
#include "support/file_content.h"
#include "support/square_gram.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using test::quiet;

class GramCollection : public testing::Test {
protected:
    GramCollection() {
        test::write_tiny_gguf(model_, {.architecture = "deci", .layers = {{4, 2, 48}, {0, 0, 32}}});
        std::ofstream(data_) << "{\"text\": \"the inner ring, in the water, the outer ring\"}\n";
    }

    ScoreOptions options(const std::string& name, int threads = 1) const {
        return {
            .model = model_, .data = {data_}, .gram = dir_ / name, .chunk = 8, .precision = "f32", .threads = threads};
    }

    test::TempDir dir_;
    fs::path model_ = dir_ / "model.gguf", data_ = dir_ / "data.jsonl";
};

TEST_F(GramCollection, HoldsEveryInputAndDoesNotDependOnThreads) {
    score(options("one.gguf"), quiet());
    score(options("two.gguf", 2), quiet());
    EXPECT_EQ(test::read_bytes(dir_ / "one.gguf"), test::read_bytes(dir_ / "two.gguf"));
    const GramFile file(dir_ / "one.gguf");
    std::map<std::string, std::int64_t> widths;
    for (const GramInput& input : file.header().inputs) widths[input.matrix] = input.width;
    EXPECT_EQ(widths, (std::map<std::string, std::int64_t>{{"blk.0.attn_q.weight", 32},
                                                           {"blk.0.attn_output.weight", 32},
                                                           {"blk.0.ffn_gate.weight", 32},
                                                           {"blk.0.ffn_down.weight", 48},
                                                           {"blk.1.ffn_gate.weight", 32},
                                                           {"blk.1.ffn_down.weight", 32},
                                                           {"token_embd.weight", 32}}));
    EXPECT_EQ(file.header().n_tokens % 8, 0);
    EXPECT_EQ(file.header().model_sha256.size(), 64u);
}

/// Against sums in double over what the engine shows, with a buffer that is full after every call, and one that is
/// never.
TEST_F(GramCollection, SumsWhatTheEngineShowsHoweverOftenTheBufferIsFull) {
    const std::vector<Example> examples{{.tokens = {1, 2, 3, 40, 50, 6}, .targets = {1, 1, 1, 1, 1, 1}},
                                        {.tokens = {7, 8, 9}, .targets = {0, 0, 1}}};
    Backpropagation engine(*open_model(model_), {.precision = WeightPrecision::kF32, .threads = 1}, quiet());
    const GramHeader header{.inputs = gram_inputs(engine.architecture(), quiet())};
    for (const std::uint64_t buffer_bytes : {std::uint64_t{1}, kGramBufferBytes}) {
        GramCollector collector(
            header,
            {.target = dir_ / "g.gguf", .overwrite = Overwrite::kReplace, .threads = 1, .buffer_bytes = buffer_bytes});
        std::map<std::string, std::vector<double>> expected;
        for (const Example& example : examples)
            engine.run(example, [&](std::span<const TensorId> matrices, std::span<const float> rows, std::int64_t n) {
                collector.add(matrices, rows, n);
                auto& sums = expected[gguf_name(matrices.front())];
                const auto width = static_cast<std::size_t>(n);
                sums.resize(width * width);
                for (std::size_t start = 0; start < rows.size(); start += width)
                    for (std::size_t i = 0; i < sums.size(); ++i)
                        sums[i] += double{rows[start + i / width]} * double{rows[start + i % width]};
            });
        collector.finish();
        const GramFile file(dir_ / "g.gguf");
        EXPECT_EQ(file.header().n_tokens, 9);
        ASSERT_EQ(file.header().inputs.size(), expected.size());
        for (const auto& [name, sums] : expected) {
            const test::SquareGram found = test::squares_of(file, name.c_str());
            ASSERT_EQ(found.values.size(), sums.size());
            double trace = 0;
            for (std::size_t i = 0; i < sums.size(); i += static_cast<std::size_t>(found.width) + 1) trace += sums[i];
            EXPECT_GT(trace, 0) << name;
            for (std::size_t i = 0; i < sums.size(); ++i)  // products and sums of F32: 2⁻²⁴ each, few of them
                ASSERT_NEAR(found.values[i], sums[i], 1e-6 * trace) << name << " " << i;
        }
    }
}

TEST_F(GramCollection, CountsItsOwnTokensHoweverManyAreScored) {
    ScoreOptions all = options("all.gguf");
    all.gram_tokens = 0;
    const std::int64_t n_steps = score(all, quiet()).num_steps;
    ScoreOptions one_scored = options("one.gguf");
    one_scored.max_tokens = 8;
    EXPECT_LT(score(one_scored, quiet()).num_steps, n_steps);
    EXPECT_EQ(test::read_bytes(dir_ / "one.gguf"), test::read_bytes(dir_ / "all.gguf"));
    ScoreOptions few = options("few.gguf");
    few.gram_tokens = 1;
    EXPECT_EQ(score(few, quiet()).num_steps, n_steps);
    EXPECT_LT(GramFile(dir_ / "few.gguf").header().n_tokens, GramFile(dir_ / "all.gguf").header().n_tokens);
}

TEST_F(GramCollection, RefusesWhatItCannotDo) {
    const auto expect_usage = [](const ScoreOptions& wanted) {
        test::expect_error(ErrorKind::kUsage, {}, [&] { score(wanted, quiet()); });
    };
    ScoreOptions a_slice = options("g.gguf");
    a_slice.slice = "1/2";
    expect_usage(a_slice);
    std::ofstream(dir_ / "there.gguf") << "something";
    expect_usage(options("there.gguf"));
    EXPECT_EQ(test::read_bytes(dir_ / "there.gguf"), "something");
}

TEST_F(GramCollection, IsSummedAnewWhereScoringIsContinued) {
    ScoreOptions wanted = options("g.gguf");
    wanted.checkpoint = dir_ / "checkpoint";
    wanted.checkpoint_every = 1;
    score(wanted, quiet());
    EXPECT_EQ(std::distance(fs::directory_iterator(dir_ / "."), {}), 4);  // with model and data; no temporaries
    wanted.gram = dir_ / "again.gguf";
    wanted.resume = true;
    score(wanted, quiet());
    EXPECT_EQ(test::read_bytes(dir_ / "again.gguf"), test::read_bytes(dir_ / "g.gguf"));
}

}  // namespace
}  // namespace plasticity
