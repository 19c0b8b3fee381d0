// Scoring runs that end in the middle, and what --resume makes of their checkpoint.

#include "score/checkpoint.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/interrupt.h"
#include "io/atomic_file.h"
#include "plasticity/score.h"
#include "score/score_support.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

constexpr int kTokens = 5;  // of an example

/// Ends the run, as a signal does, after so many examples; remembers what was noted.
class Stopper : public Progress {
public:
    explicit Stopper(int stop_after = -1) : stop_after_(stop_after) {}
    void begin(std::string_view task, std::uint64_t, std::string_view) override { is_scoring_ = task == "score"; }
    void advance(std::uint64_t done, std::string_view) override {
        if (!is_scoring_) return;
        tokens += static_cast<int>(done);
        if (tokens == stop_after_ * kTokens) throw Interrupted(15);
    }
    void end() override { is_scoring_ = false; }
    void note(std::string_view text) override { notes += std::string(text) + "\n"; }

    int tokens = 0;
    std::string notes;

private:
    int stop_after_;
    bool is_scoring_ = false;
};

class Checkpoints : public testing::Test {
protected:
    static constexpr int kExamples = 7;

    Checkpoints() {
        test::write_tiny_gguf(model_, {.n_layer = 2});
        std::ofstream data(data_);
        for (int i = 0; i < kExamples; ++i)
            data << fmt::format("{{\"tokens\": [{}, 2, 3, {}, 5]}}\n", i + 1, 9 * i + 4);
    }

    ScoreOptions options() const {
        return {.model = model_,
                .data = {data_},
                .statistics = dir_ / "stats.gguf",
                .curvature_every = 2,
                .threads = 1,
                .overwrite = true,
                .checkpoint = checkpoint_,
                .checkpoint_every = 2,
                .resume = true};
    }

    std::string result_of(const ScoreOptions& wanted, Progress& progress) const {
        save_gate_gradients(score(wanted, progress), dir_ / "scores.json", Overwrite::kReplace);
        fs::remove(checkpoint_);
        return read_text_file(dir_ / "scores.json") + read_text_file(*wanted.statistics);
    }

    std::string undisturbed() const {
        ScoreOptions wanted = options();
        wanted.checkpoint.reset();
        Stopper none;
        return result_of(wanted, none);
    }

    void stop_after(int examples) const {
        Stopper stopper(examples);
        EXPECT_THROW(score(options(), stopper), Interrupted);
    }

    test::TempDir dir_;
    fs::path model_ = dir_ / "model.gguf", data_ = dir_ / "data.jsonl", checkpoint_ = dir_ / "scores.checkpoint";
};

TEST_F(Checkpoints, ContinueToTheSameBytesWhereverTheRunEnded) {
    const std::string expected = undisturbed();
    for (int n = 1; n <= kExamples; ++n) {
        stop_after(n);
        Stopper rest;
        EXPECT_TRUE(result_of(options(), rest) == expected) << "ended after " << n << " examples";
        EXPECT_EQ(rest.tokens, (kExamples - n / 2 * 2) * kTokens);
    }
}

TEST_F(Checkpoints, ContinueAfterSeveralEnds) {
    const std::string expected = undisturbed();
    for (const int n : {3, 3, 2}) stop_after(n);
    Stopper rest;
    EXPECT_TRUE(result_of(options(), rest) == expected);
    EXPECT_EQ(rest.tokens, (kExamples - 6) * kTokens);
}

TEST_F(Checkpoints, AreNotUsedUnasked) {
    stop_after(5);
    ScoreOptions wanted = options();
    wanted.resume = false;
    Stopper all;
    EXPECT_TRUE(result_of(wanted, all) == undisturbed());
    EXPECT_EQ(all.tokens, kExamples * kTokens);
}

TEST_F(Checkpoints, OfAnotherRunCountForNothing) {
    for (int change = 0; change < 4; ++change) {
        stop_after(5);
        ScoreOptions wanted = options();
        if (change == 0) wanted.seed = 7;
        if (change == 1) wanted.curvature_every = 3;
        if (change == 2) wanted.precision = "f32";
        if (change == 3) std::ofstream(data_, std::ios::app) << "{\"tokens\": [7, 8, 9]}\n";
        Stopper all;
        score(wanted, all);
        EXPECT_EQ(all.tokens, kExamples * kTokens + (change == 3 ? 3 : 0)) << change;
        EXPECT_NE(all.notes.find("begins anew"), std::string::npos) << all.notes;
    }
}

TEST_F(Checkpoints, ThatAreDamagedCountForNothing) {
    stop_after(5);
    const std::string whole = read_text_file(checkpoint_);
    const std::string expected = undisturbed();
    for (const std::size_t at : {std::size_t{0}, std::size_t{40}, whole.size() / 2, whole.size() - 40}) {
        std::string bytes = whole;
        bytes[at] = static_cast<char>(bytes[at] ^ 1);
        write_text_file(checkpoint_, bytes, Overwrite::kReplace);
        Stopper all;
        EXPECT_TRUE(result_of(options(), all) == expected) << at;
    }
    write_text_file(checkpoint_, whole.substr(0, whole.size() / 2), Overwrite::kReplace);
    Stopper all;
    EXPECT_TRUE(result_of(options(), all) == expected);
    EXPECT_EQ(all.tokens, kExamples * kTokens);
}

}  // namespace
}  // namespace plasticity
