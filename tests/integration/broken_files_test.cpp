// Files of SmolLM2 that are broken on purpose, one of each kind: which line of the report says so.

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <limits>

#include "artifact/report.h"
#include "integration/real_model.h"
#include "io/gguf_reader.h"
#include "plasticity/compress.h"
#include "plasticity/verify.h"
#include "support/edited_file.h"
#include "support/file_content.h"
#include "support/temp_dir.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

class BrokenFiles : public testing::Test {
protected:
    static void SetUpTestSuite() {
        folder_ = std::make_unique<test::TempDir>();
        const auto model = open_model(test::smollm2());
        const Recipe recipe = test::tiny_recipe(*model, {.type = GGML_TYPE_Q8_0, .embedding_type = GGML_TYPE_Q8_0});
        compress({.model = test::smollm2(), .output = *folder_ / "good.gguf"}, recipe, test::quiet());
    }
    static void TearDownTestSuite() { folder_.reset(); }

    BrokenFiles() { fs::copy_file(*folder_ / "good.gguf", broken_); }

    /// Of those checks that were made, this one alone fails; but memory is unknown where the structure is broken.
    void expect_failure(const VerifyOptions& more, std::string_view name, std::string_view detail) const {
        VerifyOptions options = more;
        options.model = broken_;
        options.context = 256;
        options.threads = 1;
        const Report report = verify(options, test::quiet());
        EXPECT_FALSE(report.passed());
        for (const Check& check : report.checks) {
            if (check.name == "memory" && name == "structure") continue;
            EXPECT_EQ(check.passed, check.name != name) << check.name << ": " << check.detail;
            if (check.passed) continue;
            EXPECT_NE(check.detail.find(detail), std::string::npos) << check.detail;
            std::cout << check.name << ": " << check.detail << "\n";
        }
    }

    static std::unique_ptr<test::TempDir> folder_;
    test::TempDir dir_;
    fs::path broken_ = dir_ / "broken.gguf";
};

std::unique_ptr<test::TempDir> BrokenFiles::folder_;

TEST_F(BrokenFiles, ABlockOfNan) {
    const GgufTensor tensor = *GgufReader(broken_).find("blk.17.ffn_down.weight");
    const std::uint16_t nan = 0x7e00;  // the F16 scale that a block of q8_0 begins with
    test::overwrite(broken_, tensor.offset + 4321 * ggml_type_size(tensor.type), std::as_bytes(std::span(&nan, 1)));
    expect_failure({}, "numerics", "blk.17.ffn_down.weight (q8_0): row 90, column 32 is not finite");
}

TEST_F(BrokenFiles, AWrongHeadCount) {
    const std::string bytes = test::read_bytes(broken_), key = "llama.attention.head_count_kv";
    const std::uint32_t heads = 9;
    test::overwrite(broken_, bytes.find(key) + key.size() + sizeof(std::uint32_t), std::as_bytes(std::span(&heads, 1)));
    expect_failure({}, "structure", "blk.0.attn_k.weight");
}

TEST_F(BrokenFiles, LayersThatChangedPlaces) {
    test::swap_blocks(broken_, 4, 21);
    expect_failure({.base = test::smollm2(), .data = {test::source("src/core")}, .chunks = 1}, "weights",
                   "blk.4.attn_q.weight is not what the base has there");
}

TEST_F(BrokenFiles, MoreThanTheBudget) {
    expect_failure({.device = R"({"memoryGb": 0.1, "reservedGb": 0, "label": "a small board"})"}, "memory",
                   "a small board has 100.0 MB");
    std::ofstream(broken_, std::ios::app) << std::string(64, '\0');
    expect_failure({}, "file size", "the recipe announces");
}

/// The last norm a thousandfold: always certain, and so in a circle before long.
TEST_F(BrokenFiles, RepetitiveOutput) {
    const GgufReader file(broken_);
    const GgufTensor tensor = *file.find("output_norm.weight");
    std::vector<float> weights(tensor.bytes / sizeof(float));
    file.read(tensor, 0, std::as_writable_bytes(std::span(weights)));
    for (float& weight : weights) weight *= 1000;
    test::overwrite(broken_, tensor.offset, std::as_bytes(std::span(weights)));
    expect_failure({}, "coherence", "entropy");
}

TEST_F(BrokenFiles, AndTheGoodOnePassesThemAll) {
    const Report report = verify({.model = broken_,
                                  .base = test::smollm2(),
                                  .data = {test::source("src/core")},
                                  .stock = fs::path(test::require_environment("PLASTICITY_TEST_LLAMA_TOOLS")),
                                  .context = 256,
                                  .chunks = 2},
                                 test::quiet());
    for (const Check& check : report.checks) {
        EXPECT_TRUE(check.passed) << check.name << ": " << check.detail;
        std::cout << check.name << ": " << check.detail << "\n";
    }
    EXPECT_EQ(report.checks.size(), 11u);
    ASSERT_TRUE(report.stock_comparison);
    EXPECT_LT(report.stock_comparison->mean_kl, 1e-3);
    EXPECT_NEAR(report.stock_comparison->stock_perplexity / report.stock_comparison->own_perplexity, 1, 5e-3);
}

}  // namespace
}  // namespace plasticity
