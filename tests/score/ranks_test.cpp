// Several processes that score together, against one.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "artifact/gate_gradients.h"
#include "artifact/peft_folder.h"
#include "artifact/statistics.h"
#include "plasticity/score.h"
#include "score/score_support.h"
#include "support/expect_error.h"
#include "support/file_content.h"
#include "support/thread_ranks.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

class ScoringByRanks : public testing::Test {
protected:
    ScoringByRanks() {
        test::write_tiny_gguf(model_, {.n_layer = 2, .tied = false});
        std::ofstream data(data_);
        for (int i = 0; i < 11; ++i)
            data << fmt::format("{{\"tokens\": [{}, 2, 3, {}, 5, {}]}}\n", i + 1, 9 * i + 4, 20 * i + 1);
    }

    ScoreOptions options(const std::string& name) const {
        return {.model = model_,
                .data = {data_},
                .statistics = dir_ / (name + ".gguf"),
                .curvature_every = 3,
                .threads = 1,
                .overwrite = true};
    }

    /// Everybody's gate gradients.
    std::vector<GateGradients> score_by(int n, const ScoreOptions& wanted) const {
        std::vector<GateGradients> all(static_cast<std::size_t>(n));
        test::run_as_ranks(n, [&](Ranks& ranks) {
            ScoreOptions mine = wanted;
            mine.ranks = &ranks;
            if (mine.checkpoint) *mine.checkpoint += fmt::format(".{}", ranks.rank());
            all[static_cast<std::size_t>(ranks.rank())] = score(mine, test::quiet());
        });
        return all;
    }

    static void expect_same_sums(const GateGradients& a, const GateGradients& b) {
        EXPECT_EQ(a.absolute_sums, b.absolute_sums);
        EXPECT_EQ(a.signed_sums, b.signed_sums);
        EXPECT_EQ(a.moving_averages, b.moving_averages);
        EXPECT_EQ(a.mean_loss, b.mean_loss);
        EXPECT_EQ(a.num_steps, b.num_steps);
        EXPECT_EQ(a.num_tokens, b.num_tokens);
    }

    static void expect_near(const std::vector<double>& a, const std::vector<double>& b, const std::string& what) {
        ASSERT_EQ(a.size(), b.size()) << what;
        for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-12 * std::fabs(b[i])) << what << " " << i;
    }

    static void expect_same_statistics(const fs::path& found, const fs::path& expected) {
        const Statistics a = load_statistics(found), b = load_statistics(expected);
        EXPECT_EQ(a.chunk_count, b.chunk_count);
        ASSERT_EQ(a.matrices.size(), b.matrices.size());
        for (const auto& [name, entry] : b.matrices) {
            EXPECT_EQ(a.matrices.at(name).count, entry.count) << name;
            expect_near(a.matrices.at(name).sum_of_squares, entry.sum_of_squares, name);
        }
        ASSERT_EQ(a.curvature.size(), b.curvature.size());
        for (const auto& [name, entry] : b.curvature) {
            EXPECT_EQ(a.curvature.at(name).count, entry.count) << name;
            expect_near(a.curvature.at(name).rows, entry.rows, name);
            expect_near(a.curvature.at(name).columns, entry.columns, name);
            expect_near(a.curvature.at(name).gates, entry.gates, name);
        }
    }

    test::TempDir dir_;
    fs::path model_ = dir_ / "model.gguf", data_ = dir_ / "data.jsonl";
};

TEST_F(ScoringByRanks, GivesTheSumsOfOneProcessHoweverManyThereAre) {
    const GateGradients one = score(options("one"), test::quiet());
    for (const int n : {2, 3, 12}) {  // 12: one has nothing to do
        for (const GateGradients& found : score_by(n, options("many"))) expect_same_sums(found, one);
        expect_same_statistics(dir_ / "many.gguf", dir_ / "one.gguf");
    }
}

TEST_F(ScoringByRanks, TrainsOneAdapter) {
    ScoreOptions wanted = options("one");
    wanted.fine_tune =
        FineTuneOptions{.epochs = 2, .rank = 2, .learning_rate = 1e-2, .dropout = 0.1, .holdout_every = 4};
    wanted.save_adapter = dir_ / "adapter_one";
    const GateGradients one = score(wanted, test::quiet());
    wanted.statistics = dir_ / "many.gguf";
    wanted.save_adapter = dir_ / "adapter_many";
    const std::vector<GateGradients> many = score_by(3, wanted);
    for (const GateGradients& found : many) {
        EXPECT_EQ(found.absolute_sums, many.front().absolute_sums);
        EXPECT_EQ(found.fine_tune->training_losses, many.front().fine_tune->training_losses);
    }
    const FineTuneRecord &a = *many.front().fine_tune, &b = *one.fine_tune;
    ASSERT_EQ(a.training_losses.size(), b.training_losses.size());
    EXPECT_EQ(a.training_losses.front(), b.training_losses.front());  // no step has rounded yet
    for (std::size_t i = 0; i < b.training_losses.size(); ++i)
        EXPECT_NEAR(a.training_losses[i], b.training_losses[i], 1e-5 * b.training_losses[i]) << i;
    ASSERT_EQ(a.held_out_losses.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(a.held_out_losses[i].loss, b.held_out_losses[i].loss, 1e-4) << i;
    EXPECT_LT(a.held_out_losses.back().loss, a.held_out_losses.front().loss);
    const auto model = open_model(model_);
    const LoraAdapter x = load_peft_folder(dir_ / "adapter_many", model->architecture()),
                      y = load_peft_folder(dir_ / "adapter_one", model->architecture());
    for (std::size_t i = 0; i < y.matrices.size(); ++i)
        for (std::size_t k = 0; k < y.matrices[i].b.size(); ++k)
            EXPECT_NEAR(x.matrices[i].b[k], y.matrices[i].b[k], 2e-3) << i << " " << k;
}

/// Ends a run in the middle, in all ranks alike.
class EndAfter : public Progress {
public:
    explicit EndAfter(int tokens) : left_(tokens) {}
    void begin(std::string_view task, std::uint64_t, std::string_view) override { is_scoring_ = task == "score"; }
    void advance(std::uint64_t done, std::string_view) override {
        if (is_scoring_ && (left_ -= static_cast<int>(done)) <= 0) throw Error(ErrorKind::kIo, "ended");
    }
    void end() override { is_scoring_ = false; }
    void note(std::string_view) override {}

private:
    int left_;
    bool is_scoring_ = false;
};

TEST_F(ScoringByRanks, ContinuesFromEverybodysCheckpoint) {
    const std::vector<GateGradients> whole = score_by(2, options("whole"));
    ScoreOptions wanted = options("resumed");
    wanted.checkpoint = dir_ / "checkpoint";
    wanted.checkpoint_every = 4;
    wanted.resume = true;
    const auto end_early = [&] {
        for (const char* name : {"checkpoint.0", "checkpoint.1"}) fs::remove(dir_ / name);
        test::run_as_ranks(2, [&](Ranks& ranks) {
            ScoreOptions mine = wanted;
            mine.ranks = &ranks;
            *mine.checkpoint += fmt::format(".{}", ranks.rank());
            EndAfter progress(6 * 6);
            EXPECT_THROW(score(mine, progress), Error);
        });
    };
    end_early();
    ASSERT_TRUE(fs::exists(dir_ / "checkpoint.0") && fs::exists(dir_ / "checkpoint.1"));
    for (const GateGradients& found : score_by(2, wanted)) expect_same_sums(found, whole.front());
    expect_same_statistics(dir_ / "resumed.gguf", dir_ / "whole.gguf");

    end_early();
    fs::remove(dir_ / "checkpoint.1");
    for (const GateGradients& found : score_by(2, wanted)) expect_same_sums(found, whole.front());
    expect_same_statistics(dir_ / "resumed.gguf", dir_ / "whole.gguf");
}

TEST_F(ScoringByRanks, RefusesGramMatrices) {
    ScoreOptions wanted = options("gram");
    wanted.gram = dir_ / "g.gguf";
    test::expect_error(ErrorKind::kUsage, {"several processes"}, [&] { score_by(2, wanted); });
}

}  // namespace
}  // namespace plasticity
