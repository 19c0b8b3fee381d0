// Compressions that are killed in the middle, and what the next run makes of what they left.

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <fstream>

#include "compress/skewed_statistics.h"
#include "core/hash.h"
#include "core/progress.h"
#include "plasticity/compress.h"
#include "support/file_content.h"
#include "support/temp_dir.h"
#include "support/tiny_gram.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

using Path = std::filesystem::path;

/// Kills the process at call number `fatal` of advance() while it compresses; counts bytes and notes.
class Killer : public Progress {
public:
    explicit Killer(int fatal = -1) : fatal_(fatal) {}
    void begin(std::string_view task, std::uint64_t, std::string_view) override { compresses_ = task == "compress"; }
    void advance(std::uint64_t done, std::string_view) override {
        if (!compresses_) return;
        if (fatal_ >= 0 && calls++ == fatal_) std::raise(SIGKILL);
        bytes += done;
    }
    void end() override {}
    void note(std::string_view text) override { notes += std::string(text) + "\n"; }

    int calls = 0;
    std::uint64_t bytes = 0;
    std::string notes;

private:
    int fatal_;
    bool compresses_ = false;
};

class Resume : public testing::Test {
protected:
    Resume() {
        test::write_tiny_gguf(model_, {.n_layer = 3, .n_embd = 64, .head_dim = 16, .n_ff = 96});
        recipe_ = test::tiny_recipe(
            *open_model(model_),
            {.kept_heads = {{0, 1}, {0, 1, 2, 3}, {2, 3}}, .type = GGML_TYPE_Q4_0, .embedding_type = GGML_TYPE_Q8_0});
        Killer none;
        compress(options(dir_ / "whole.gguf"), recipe_, none);
        whole_ = test::read_bytes(dir_ / "whole.gguf");
        std::filesystem::remove(dir_ / "whole.gguf");
    }

    CompressOptions options(const Path& output) const { return {.model = model_, .output = output, .threads = 2}; }

    /// Leaves what a process that is killed at that call leaves.
    void be_killed_at(int call) {
        EXPECT_EXIT(
            {
                Killer killer(call);
                compress(options(output_), recipe_, killer);
                std::exit(0);
            },
            testing::KilledBySignal(SIGKILL), "");
        EXPECT_FALSE(std::filesystem::exists(output_));
        EXPECT_TRUE(std::filesystem::exists(dir_ / ".out.gguf.partial"));
    }

    /// Finishes it. @returns whether anything was kept
    bool finish(const CompressOptions& how, const std::string& expected) {
        Killer counter;
        const CompressResult result = compress(how, recipe_, counter);
        EXPECT_EQ(result.sha256, sha256_of_file(output_));
        EXPECT_TRUE(test::read_bytes(output_) == expected) << counter.notes;
        std::filesystem::remove(output_);
        std::size_t n_files = 0;
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir_.path())) ++n_files;
        EXPECT_EQ(n_files, n_inputs_) << "something is left over";
        return counter.notes.find("continues after") != std::string::npos;
    }
    bool finish() { return finish(options(output_), whole_); }

    /// What a run without another input left is of no use for one with it, whose file is another.
    void expect_fresh_start(const CompressOptions& with_input) {
        n_inputs_ = 2;
        Killer none;
        compress(with_input, recipe_, none);
        const std::string expected = test::read_bytes(output_);
        EXPECT_NE(expected, whole_);
        std::filesystem::remove(output_);

        be_killed_at(9);
        EXPECT_FALSE(finish(with_input, expected));
    }

    test::TempDir dir_;
    Path model_ = dir_ / "in.gguf", output_ = dir_ / "out.gguf";
    Recipe recipe_;
    std::string whole_;
    std::size_t n_inputs_ = 1;
};

TEST_F(Resume, GivesTheSameFileWhereverItWasKilled) {
    const int n_tensors = 3 * 9 + 2;
    for (int call = 1; call <= n_tensors; ++call) {  // call 0 reports what is there already
        be_killed_at(call);
        EXPECT_TRUE(finish()) << call;
    }
}

TEST_F(Resume, ContinuesAfterSeveralKills) {
    for (const int call : {4, 4, 4, 4}) be_killed_at(call);
    EXPECT_TRUE(finish());
}

TEST_F(Resume, StartsAfreshWhenTheModelHasChanged) {
    be_killed_at(9);
    // The same bytes at another time: nobody can tell without reading all of them.
    std::filesystem::last_write_time(model_, std::filesystem::last_write_time(model_) + std::chrono::seconds(1));
    EXPECT_FALSE(finish());
}

TEST_F(Resume, StartsAfreshWithAnotherRecipe) {
    be_killed_at(9);
    recipe_.tensor_quant_map.front().reason = "another";
    test::settle_file_bytes(*open_model(model_), recipe_);
    Killer counter;
    compress(options(output_), recipe_, counter);
    EXPECT_EQ(counter.notes.find("continues after"), std::string::npos) << counter.notes;
}

TEST_F(Resume, StartsAfreshWithOtherStatistics) {
    test::write_skewed_statistics(dir_ / "stats.gguf");
    CompressOptions weighted = options(output_);
    weighted.statistics = dir_ / "stats.gguf";
    expect_fresh_start(weighted);
}

TEST_F(Resume, StartsAfreshWithGramMatrices) {
    test::write_tiny_gram(dir_ / "gram.gguf", {{"blk.2.attn_output.weight", 64}});
    CompressOptions compensated = options(output_);
    compensated.gram = dir_ / "gram.gguf";
    expect_fresh_start(compensated);
}

TEST_F(Resume, ContinuesOverAFileThatIsToBeReplaced) {
    std::ofstream(output_) << "old";
    CompressOptions replacing = options(output_);
    replacing.overwrite = true;
    EXPECT_EXIT(
        {
            Killer killer(9);
            compress(replacing, recipe_, killer);
            std::exit(0);
        },
        testing::KilledBySignal(SIGKILL), "");
    EXPECT_EQ(test::read_bytes(output_), "old");
    EXPECT_TRUE(finish(replacing, whole_));
}

}  // namespace
}  // namespace plasticity
