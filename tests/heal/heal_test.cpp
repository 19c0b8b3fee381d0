// Healing of a tiny model that lost bits: closer to its base, the same file otherwise, or no file.

#include "heal/heal.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/error.h"
#include "io/gguf_reader.h"
#include "model/model.h"
#include "support/expect_error.h"
#include "support/file_content.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

class Healing : public testing::Test {
protected:
    Healing() {
        test::TinyModelOptions options{.architecture = "qwen2", .n_ff = 64};
        test::write_tiny_gguf(base_, options);
        options.matrix_type = GGML_TYPE_Q4_0;
        test::write_tiny_gguf(options_.model, options);
        std::ofstream text(data_);
        for (int i = 0; i < 400; ++i) text << fmt::format("in the inner ring of the water number {}\n", i * 37 % 101);
    }

    static void expect_refused(const HealOptions& options, ErrorKind kind, const std::string& reason) {
        test::expect_error(kind, {reason}, [&] { heal(options, *make_progress(ProgressStyle::kQuiet)); });
    }

    HealResult run() const { return heal(options_, *make_progress(ProgressStyle::kQuiet)); }

    test::TempDir dir_;
    std::filesystem::path base_ = dir_ / "base.gguf", data_ = dir_ / "text.txt";
    HealOptions options_{.model = dir_ / "small.gguf",
                         .base = base_,
                         .data = {data_},
                         .output = dir_ / "healed.gguf",
                         .tokens = 4096,
                         .chunk = 64,
                         .threads = 1};
};

TEST_F(Healing, BringsAFileCloserToItsBase) {
    const HealResult result = run();
    EXPECT_GT(result.held_out_before, 0.0);
    EXPECT_LT(result.held_out_after, 0.9 * result.held_out_before);
    EXPECT_EQ(result.n_steps + result.n_held_out, 64);
    EXPECT_EQ(result.n_held_out, 8);
    EXPECT_DOUBLE_EQ(result.learning_rate, default_healing_rate(result.held_out_before));

    // What the file says of itself is what was measured.
    HealOptions again = options_;
    again.model = options_.output;
    again.output = dir_ / "twice.gguf";
    const HealResult second = heal(again, *make_progress(ProgressStyle::kQuiet));
    EXPECT_NEAR(second.held_out_before, result.held_out_after, 0.01 * result.held_out_after);
}

TEST_F(Healing, KeepsHeaderAndCodes) {
    run();
    const GgufReader before(options_.model), after(options_.output);
    const std::string source = test::read_bytes(options_.model), healed = test::read_bytes(options_.output);
    ASSERT_EQ(healed.size(), source.size());
    std::size_t n_changed = 0;
    for (const GgufTensor& tensor : before.tensors()) {
        const auto in = [&](const std::string& file) { return file.substr(tensor.offset, tensor.bytes); };
        const bool is_trained = parse_gguf_name(tensor.name)->role != TensorRole::kTokenEmbedding;
        EXPECT_EQ(in(source) != in(healed), is_trained) << tensor.name;
        n_changed += is_trained ? 1 : 0;
        if (tensor.type != GGML_TYPE_Q4_0) continue;
        for (std::size_t at = 0; at < tensor.bytes; at += 18)  // behind a block's scale are its codes
            ASSERT_EQ(in(source).substr(at + 2, 16), in(healed).substr(at + 2, 16)) << tensor.name;
    }
    EXPECT_GT(n_changed, 20u);
    const std::uint64_t data = before.tensors().front().offset;
    EXPECT_EQ(source.substr(0, data), healed.substr(0, data));
}

TEST_F(Healing, DoesNotDependOnThreads) {
    run();
    const std::string one = test::read_bytes(options_.output);
    options_.threads = 2;
    options_.overwrite = Overwrite::kReplace;
    run();
    EXPECT_EQ(test::read_bytes(options_.output), one);
}

TEST_F(Healing, WritesNothingWhereItDoesHarm) {
    options_.learning_rate = 3;
    const HealResult result = run();
    EXPECT_FALSE(result.is_better());
    EXPECT_FALSE(std::filesystem::exists(options_.output));
}

TEST_F(Healing, RefusesWhatCannotBe) {
    HealOptions options = options_;
    options.holdout_every = 1;
    expect_refused(options, ErrorKind::kUsage, "--holdout-every 1");
    options = options_;
    options.tokens = 10;
    expect_refused(options, ErrorKind::kUsage, "at least two");
    options = options_;
    options.learning_rate = -1;
    expect_refused(options, ErrorKind::kUsage, "--lr -1");
    options = options_;
    options.model = dir_ / "text.txt";
    expect_refused(options, ErrorKind::kMalformed, "text.txt");
}

}  // namespace
}  // namespace plasticity
