// What merging makes of the slices of a run, against the run itself.

#include "plasticity/merge.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "artifact/gate_gradients.h"
#include "artifact/statistics.h"
#include "core/error.h"
#include "io/atomic_file.h"
#include "plasticity/score.h"
#include "score/score_support.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using test::quiet;

/// Doubles added in another order.
constexpr double kTolerance = 1e-12;

void expect_near(const std::vector<double>& got, const std::vector<double>& wanted, const std::vector<double>& scale,
                 const std::string& what) {
    ASSERT_EQ(got.size(), wanted.size()) << what;
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], kTolerance * scale[i]) << what << i;
}

class Merge : public testing::Test {
protected:
    static constexpr int kExamples = 11;

    Merge() {
        test::write_tiny_gguf(model_, {.architecture = "deci", .layers = {{4, 2, 48}, {0, 0, 32}, {2, 1, 64}}});
        std::ofstream data(data_);
        for (int i = 0; i < kExamples; ++i)
            data << fmt::format("{{\"tokens\": [{}, 2, 3, {}, 5, {}]}}\n", i + 1, 9 * i + 4, 200 - i);
    }

    ScoreOptions options(const std::string& slice = "") const {
        return {.model = model_,
                .data = {data_},
                .statistics = dir_ / (name_of(slice) + ".gguf"),
                .slice = slice,
                .curvature_every = 3,
                .threads = 1,
                .overwrite = true};
    }

    static std::string name_of(std::string slice) {
        std::ranges::replace(slice, '/', '-');
        return "of" + slice;
    }

    fs::path scores_of(const ScoreOptions& wanted) const {
        const fs::path path = dir_ / (name_of(wanted.slice) + ".json");
        save_gate_gradients(score(wanted, quiet()), path, Overwrite::kReplace);
        return path;
    }

    void score_slices(int count) {
        for (int index = 1; index <= count; ++index) {
            const ScoreOptions wanted = options(fmt::format("{}/{}", index, count));
            scores_.push_back(scores_of(wanted));
            statistics_.push_back(*wanted.statistics);
        }
    }

    std::string problem_of(ErrorKind kind, const std::vector<fs::path>& files) const {
        try {
            merge_gate_gradients(files);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kind) << error.what();
            return error.what();
        }
        ADD_FAILURE() << "merged";
        return "";
    }

    test::TempDir dir_;
    fs::path model_ = dir_ / "model.gguf", data_ = dir_ / "data.jsonl";
    std::vector<fs::path> scores_, statistics_;
};

TEST_F(Merge, OfSlicesIsTheSingleRun) {
    const GateGradients whole = load_gate_gradients(scores_of(options()));
    for (const int count : {1, 2, 4, kExamples}) {
        scores_.clear();
        score_slices(count);
        const GateGradients merged = merge_gate_gradients(scores_);
        EXPECT_EQ(merged.num_steps, whole.num_steps);
        EXPECT_EQ(merged.num_tokens, whole.num_tokens);
        EXPECT_NEAR(merged.mean_loss, whole.mean_loss, kTolerance * whole.mean_loss);
        EXPECT_EQ(merged.provenance, whole.provenance);
        EXPECT_FALSE(merged.slice);
        for (std::size_t layer = 0; layer < whole.absolute_sums.size(); ++layer) {
            const auto& scale = whole.absolute_sums[layer];
            expect_near(merged.absolute_sums[layer], scale, scale, "absolute ");
            expect_near(merged.signed_sums[layer], whole.signed_sums[layer], scale, "signed ");
            const auto& averages = whole.moving_averages[layer];
            expect_near(merged.moving_averages[layer], averages, averages, "average ");
        }
    }
}

TEST_F(Merge, OfStatisticsIsTheSingleRun) {
    scores_of(options());
    const Statistics whole = load_statistics(*options().statistics);
    score_slices(3);
    const Statistics merged = merge_statistics(statistics_);
    EXPECT_EQ(merged.chunk_count, whole.chunk_count);
    EXPECT_EQ(merged.datasets, whole.datasets);
    EXPECT_FALSE(merged.origin);
    ASSERT_EQ(merged.matrices.size(), whole.matrices.size());
    for (const auto& [name, channels] : whole.matrices) {
        EXPECT_EQ(merged.find(name)->count, channels.count) << name;
        for (std::size_t i = 0; i < channels.sum_of_squares.size(); ++i)  // the file rounds them to F32
            EXPECT_EQ(static_cast<float>(merged.find(name)->sum_of_squares[i]), channels.sum_of_squares[i]) << name;
    }
    ASSERT_EQ(merged.curvature.size(), whole.curvature.size());
    for (const auto& [name, curvature] : whole.curvature) {
        const CurvatureStatistics& sum = *merged.find_curvature(name);
        EXPECT_EQ(sum.count, curvature.count) << name;  // labels were drawn for the very same examples
        expect_near(sum.rows, curvature.rows, curvature.rows, name);
        expect_near(sum.columns, curvature.columns, curvature.columns, name);
        expect_near(sum.gates, curvature.gates, curvature.gates, name);
    }
}

TEST_F(Merge, GivesTheSameBytesInAnyOrder) {
    score_slices(3);
    const auto bytes_of_merged = [&] {
        save_gate_gradients(merge_gate_gradients(scores_), dir_ / "m.json", Overwrite::kReplace);
        save_statistics(merge_statistics(statistics_), dir_ / "m.gguf", Overwrite::kReplace);
        return read_text_file(dir_ / "m.json") + read_text_file(dir_ / "m.gguf");
    };
    const std::string expected = bytes_of_merged();
    std::ranges::sort(scores_);
    std::ranges::sort(statistics_);
    while (std::ranges::next_permutation(scores_).found && std::ranges::next_permutation(statistics_).found)
        EXPECT_TRUE(bytes_of_merged() == expected);
}

TEST_F(Merge, KeepsSumsOfSlicesInDouble) {
    score_slices(2);
    const Statistics half = load_statistics(statistics_[0]);
    ASSERT_TRUE(half.origin);
    EXPECT_EQ(half.origin->slice, (ScoreSlice{.index = 1, .count = 2, .n_examples = kExamples}));
    EXPECT_EQ(half.origin->curvature_every, 3);
    bool any_beyond_float = false;
    for (const double sum : half.matrices.at("blk.0.attn_q.weight").sum_of_squares)
        any_beyond_float |= sum != double{static_cast<float>(sum)};
    EXPECT_TRUE(any_beyond_float);
}

TEST_F(Merge, NamesSlicesThatAreMissingOrThereTwice) {
    score_slices(4);
    EXPECT_NE(problem_of(ErrorKind::kUsage, {scores_[1], scores_[3]}).find("2 of 4 slices are missing: 1, 3"),
              std::string::npos);
    EXPECT_NE(problem_of(ErrorKind::kUsage, {scores_[1], scores_[0], scores_[1], scores_[3]}).find("both slice 2 of 4"),
              std::string::npos);
    problem_of(ErrorKind::kUsage, {});
    EXPECT_NE(problem_of(ErrorKind::kUsage, {scores_of(options())}).find("not of a slice"), std::string::npos);
}

TEST_F(Merge, RefusesSlicesOfDifferentRuns) {
    score_slices(2);
    const auto expect_mixture = [&](const ScoreOptions& other, const std::string& what) {
        EXPECT_NE(problem_of(ErrorKind::kMalformed, {scores_[0], scores_of(other)}).find(what), std::string::npos)
            << what;
    };
    ScoreOptions other = options("2/2");
    other.precision = "f32";
    expect_mixture(other, "--precision");
    other = options("2/2");
    other.max_tokens = 40;
    expect_mixture(other, "the data");
    other = options("2/3");
    expect_mixture(other, "the number of slices");
    other = options("2/2");
    other.model = test::write_tiny_gguf(dir_ / "other.gguf", {.seed = 2});
    expect_mixture(other, "the model");

    other = options("2/2");
    other.seed = 1;
    score(other, quiet());
    try {
        merge_statistics(statistics_);
        ADD_FAILURE() << "merged labels of two seeds";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
        EXPECT_NE(std::string(error.what()).find("--seed 1"), std::string::npos) << error.what();
    }
}

TEST_F(Merge, SlicesContinueFromCheckpointsToTheSameBytes) {
    ScoreOptions wanted = options("2/3");
    const auto bytes_of_run = [&] {
        const std::string scores = read_text_file(scores_of(wanted));
        return scores + read_text_file(*wanted.statistics);
    };
    const std::string expected = bytes_of_run();
    wanted.checkpoint = dir_ / "slice.checkpoint";
    wanted.checkpoint_every = 2;
    scores_of(wanted);  // leaves the checkpoint of its first two examples
    ASSERT_TRUE(fs::exists(*wanted.checkpoint));
    wanted.resume = true;
    EXPECT_TRUE(bytes_of_run() == expected);
}

TEST_F(Merge, ThereAreNoMoreSlicesThanExamples) {
    try {
        score(options("1/12"), quiet());
        ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kUsage);
        EXPECT_NE(std::string(error.what()).find("11 examples in 12 slices"), std::string::npos) << error.what();
    }
}

}  // namespace
}  // namespace plasticity
