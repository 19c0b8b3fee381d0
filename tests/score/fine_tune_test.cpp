// Training adapters on the way: what it does to the loss, what it depends on, and what is left of it.

#include "score/fine_tune.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "artifact/gate_gradients.h"
#include "artifact/lora_rows.h"
#include "artifact/peft_folder.h"
#include "artifact/statistics.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "io/atomic_file.h"
#include "model/model.h"
#include "plasticity/merge.h"
#include "score/score_support.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using test::quiet;

/// Ends the run, as a signal does, after so many calls of advance while it trains.
class TrainingStopper : public Progress {
public:
    explicit TrainingStopper(int stop_after) : left_(stop_after) {}
    void begin(std::string_view task, std::uint64_t, std::string_view) override { is_training_ = task == "fine-tune"; }
    void advance(std::uint64_t, std::string_view) override {
        if (is_training_ && --left_ == 0) throw Interrupted(15);
    }
    void end() override { is_training_ = false; }
    void note(std::string_view) override {}

private:
    int left_;
    bool is_training_ = false;
};

class FineTuning : public testing::Test {
protected:
    FineTuning() {
        test::write_tiny_gguf(model_);
        std::ofstream data(data_);  // a text of one habit, which can be learnt
        for (int i = 0; i < 12; ++i)
            data << fmt::format("{{\"tokens\": [{0}, 20, 30, {0}, 20, 30, {0}, 20, 30, {0}, 20, 30]}}\n", i % 4 + 5);
    }

    ScoreOptions options(const FineTuneOptions& how = {}) const {
        return {
            .model = model_, .data = {data_}, .fine_tune = how, .precision = "f32", .threads = 1, .overwrite = true};
    }

    static FineTuneOptions eager() {
        return {.epochs = 4, .rank = 4, .learning_rate = 2e-2, .batch = 2, .holdout_every = 4};
    }

    std::string bytes_of(const ScoreOptions& wanted, Progress& progress = quiet()) const {
        save_gate_gradients(score(wanted, progress), dir_ / "g.json", Overwrite::kReplace);
        std::string bytes = read_text_file(dir_ / "g.json");
        if (wanted.statistics) bytes += read_text_file(*wanted.statistics);
        if (wanted.save_adapter) bytes += read_text_file(*wanted.save_adapter / "adapter_model.safetensors");
        return bytes;
    }

    void expect_usage(const ScoreOptions& wanted, const std::string& what) const {
        try {
            score(wanted, quiet());
            ADD_FAILURE() << "accepted " << what;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kUsage) << error.what();
            EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
        }
    }

    test::TempDir dir_;
    fs::path model_ = dir_ / "model.gguf", data_ = dir_ / "data.jsonl", adapter_ = dir_ / "adapter";
};

TEST_F(FineTuning, LowersTheLossOnTrainingAndHeldOutExamples) {
    const GateGradients gradients = score(options(eager()), quiet());
    const FineTuneRecord& record = gradients.fine_tune.value();
    EXPECT_EQ(record.targets, (std::vector<std::string>{"q_proj", "k_proj", "v_proj", "o_proj"}));
    ASSERT_EQ(record.training_losses.size(), 4u * 5);  // nine examples an epoch in steps of two, the last of one
    ASSERT_EQ(record.held_out_losses.size(), 5u);
    EXPECT_EQ(record.held_out_losses.front().step, 0);
    EXPECT_EQ(record.held_out_losses.back().step, 20);
    EXPECT_LT(record.training_losses.back(), record.training_losses.front() - 0.3);
    EXPECT_LT(record.held_out_losses.back().loss, record.held_out_losses.front().loss - 0.3);
    EXPECT_EQ(gradients.num_steps, 4 * 9);
}

// The adapter adds nothing before its first step, so the scores of the first epoch's first batch are the network's own.
TEST_F(FineTuning, CapturesEveryExampleOfEveryEpoch) {
    FineTuneOptions one_step{.epochs = 1, .batch = 100, .holdout_every = 0};
    const GateGradients trained = score(options(one_step), quiet());
    ScoreOptions plain = options();
    plain.fine_tune.reset();
    const GateGradients frozen = score(plain, quiet());
    EXPECT_EQ(trained.absolute_sums, frozen.absolute_sums);
    EXPECT_EQ(trained.moving_averages, frozen.moving_averages);
    EXPECT_EQ(trained.num_steps, frozen.num_steps);
    EXPECT_NEAR(trained.fine_tune->training_losses.front(), frozen.mean_loss, 1e-12);
}

TEST_F(FineTuning, DependsOnTheSeedAndNotOnThreads) {
    FineTuneOptions how = eager();
    how.epochs = 1;
    how.dropout = 0.2;
    how.shuffle = true;
    ScoreOptions wanted = options(how);
    wanted.save_adapter = adapter_;
    const std::string once = bytes_of(wanted);
    wanted.threads = 2;
    EXPECT_TRUE(bytes_of(wanted) == once);
    wanted.seed = 1;
    EXPECT_FALSE(bytes_of(wanted) == once);
}

TEST_F(FineTuning, ContinuesFromItsCheckpointsToTheSameBytes) {
    FineTuneOptions how = eager();
    how.epochs = 2;
    how.dropout = 0.2;
    ScoreOptions wanted = options(how);
    wanted.statistics = dir_ / "stats.gguf";
    wanted.save_adapter = adapter_;
    const std::string expected = bytes_of(wanted);
    wanted.checkpoint = dir_ / "checkpoint";
    wanted.checkpoint_every = 3;
    wanted.resume = true;
    for (const int n : {2, 5, 9, 12, 17}) {
        TrainingStopper stopper(n);
        EXPECT_THROW(score(wanted, stopper), Interrupted) << n;
        EXPECT_TRUE(bytes_of(wanted) == expected) << "ended after " << n;
        fs::remove(*wanted.checkpoint);
    }
}

TEST_F(FineTuning, LeavesAnAdapterThatComputesTheSame) {
    ScoreOptions wanted = options(eager());
    wanted.save_adapter = adapter_;
    const double trained = score(wanted, quiet()).fine_tune->held_out_losses.back().loss;

    // The held-out examples alone, with the adapter as it was saved, and nothing trained.
    std::ofstream(data_) << [&] {
        std::string lines;
        for (const int i : {3, 7, 11})
            lines += fmt::format("{{\"tokens\": [{0}, 20, 30, {0}, 20, 30, {0}, 20, 30, {0}, 20, 30]}}\n", i % 4 + 5);
        return lines;
    }();
    ScoreOptions with = options();
    with.fine_tune.reset();
    with.adapter = adapter_;
    const GateGradients adapted = score(with, quiet());
    EXPECT_NEAR(adapted.mean_loss, trained, 1e-6);
    const Architecture architecture = open_model(model_)->architecture();
    const LoraAdapter saved = load_peft_folder(adapter_, architecture);
    EXPECT_EQ(adapted.provenance.adapter_sha256,
              in_rope_layout(saved, architecture, RopeLayout::kNorm, RopeLayout::kNeox).sha256());
    EXPECT_FALSE(adapted.fine_tune);
}

TEST_F(FineTuning, OfNoEpochsOnlyMakesTheAdapter) {
    ScoreOptions wanted = options({.epochs = 0, .rank = 2, .targets = "o,gate"});
    wanted.save_adapter = adapter_;
    const GateGradients made = score(wanted, quiet());
    ScoreOptions plain = options();
    plain.fine_tune.reset();
    EXPECT_EQ(made.absolute_sums, score(plain, quiet()).absolute_sums);
    const auto model = open_model(model_);
    const LoraAdapter adapter = load_peft_folder(adapter_, model->architecture());
    EXPECT_EQ(adapter.rank, 2);
    EXPECT_EQ(adapter.targets(), (std::vector<TensorRole>{TensorRole::kAttentionOutput, TensorRole::kGate}));
    double largest = 0;
    for (const LoraMatrix& matrix : adapter.matrices) {
        const double bound = 1 / std::sqrt(static_cast<double>(matrix.cols));
        for (const float a : matrix.a) {
            EXPECT_LE(std::fabs(a), bound);
            largest = std::max(largest, std::fabs(a) / bound);
        }
        for (const float b : matrix.b) EXPECT_EQ(b, 0.0f);
    }
    EXPECT_GT(largest, 0.9);

    // Starting from the file is starting from the same values.
    ScoreOptions from_file = options({.epochs = 1, .rank = 2, .targets = "o,gate"});
    const std::string fresh = bytes_of(from_file);
    from_file.adapter = adapter_;
    EXPECT_TRUE(bytes_of(from_file) == fresh);
}

TEST_F(FineTuning, SlicesWithOneAdapterMerge) {
    ScoreOptions wanted = options(eager());
    wanted.save_adapter = adapter_;
    score(wanted, quiet());
    ScoreOptions with = options();
    with.fine_tune.reset();
    with.adapter = adapter_;
    const GateGradients whole = score(with, quiet());
    std::vector<fs::path> slices;
    for (const char* slice : {"1/2", "2/2"}) {
        with.slice = slice;
        slices.push_back(dir_ / fmt::format("{}.json", slice[0]));
        save_gate_gradients(score(with, quiet()), slices.back(), Overwrite::kRefuse);
    }
    const GateGradients merged = merge_gate_gradients(slices);
    for (std::size_t head = 0; head < 4; ++head)
        EXPECT_NEAR(merged.absolute_sums[0][head], whole.absolute_sums[0][head], 1e-12 * whole.absolute_sums[0][head]);

    with.adapter.reset();
    save_gate_gradients(score(with, quiet()), slices.back(), Overwrite::kReplace);
    try {
        merge_gate_gradients(slices);
        ADD_FAILURE() << "merged slices with and without an adapter";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
        EXPECT_NE(std::string(error.what()).find("the adapter"), std::string::npos) << error.what();
    }
}

TEST_F(FineTuning, StatisticsAreOfTheLastEpoch) {
    FineTuneOptions how = eager();
    ScoreOptions wanted = options(how);
    wanted.statistics = dir_ / "stats.gguf";
    score(wanted, quiet());
    const Statistics statistics = load_statistics(*wanted.statistics);
    EXPECT_EQ(statistics.chunk_count, 9);
    EXPECT_EQ(statistics.find("blk.0.attn_q.weight")->count, 9 * 12);
    EXPECT_EQ(statistics.find_curvature("blk.0.attn_q.weight")->count, 3 * 11);  // examples 0, 4 and 8
}

TEST_F(FineTuning, RefusesWhatCannotBe) {
    const auto expect_refused = [&](const FineTuneOptions& how, const std::string& what) {
        expect_usage(options(how), what);
    };
    expect_refused({.epochs = -1}, "--epochs -1");
    expect_refused({.rank = 0}, "--rank 0");
    expect_refused({.alpha = 0}, "--alpha 0");
    expect_refused({.targets = "q,x"}, "'x'");
    expect_refused({.learning_rate = -1}, "--lr -1");
    expect_refused({.warmup = 2}, "--warmup 2");
    expect_refused({.weight_decay = -1}, "--weight-decay -1");
    expect_refused({.dropout = 1}, "--dropout 1");
    expect_refused({.batch = 0}, "--batch 0");
    expect_refused({.holdout_every = 1}, "leaves none");
    ScoreOptions wanted = options();
    wanted.slice = "1/2";
    expect_usage(wanted, "training on a slice");
    wanted = options();
    wanted.fine_tune.reset();
    wanted.save_adapter = adapter_;
    expect_usage(wanted, "--save-adapter");
    fs::create_directory(adapter_);
    std::ofstream(adapter_ / "thesis.tex") << "precious";
    wanted = options();
    wanted.save_adapter = adapter_;
    expect_usage(wanted, "thesis.tex");
}

}  // namespace
}  // namespace plasticity
