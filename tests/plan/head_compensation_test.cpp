#include "plan/head_compensation.h"

#include <gtest/gtest.h>

#include "plan/curvature_support.h"

namespace plasticity {
namespace {

constexpr std::int64_t kHead = 8;  // tiny models: four heads of eight, two KV groups
constexpr std::int64_t kWidth = 4 * kHead;
constexpr std::int64_t kTokens = 1000;

/// Head 1 says what head 0 says; otherwise channels have nothing to do with one another.
std::vector<float> twin_heads() {
    std::vector<float> packed;
    for (std::int64_t row = 0; row < kWidth; ++row)
        for (std::int64_t col = 0; col <= row; ++col)
            packed.push_back(row == col || (row < 2 * kHead && row == col + kHead) ? kTokens : 0.0f);
    return packed;
}

class HeadCompensationTest : public testing::Test {
protected:
    HeadCompensationTest() {
        GramHeader header{.n_tokens = kTokens, .datasets = {}, .model_sha256 = ""};
        header.inputs.push_back({.matrix = "blk.0.attn_output.weight", .width = kWidth, .block = kWidth});
        GramWriter file(dir_ / "gram.gguf", header, Overwrite::kReplace);
        file.write(header.inputs.front(), twin_heads());
        file.finish();
        gram_.emplace(dir_ / "gram.gguf");
    }

    std::vector<HeadCompensation> measured(std::uint64_t most_bytes, int threads = 1) const {
        return head_compensation(*model_, test::synthetic_curvature(*model_), {&*gram_, most_bytes}, threads,
                                 test::quiet());
    }

    test::TempDir dir_;
    std::unique_ptr<Model> model_ = open_model(test::write_tiny_gguf(dir_ / "tiny.gguf", {}));
    std::optional<GramFile> gram_;
};

TEST_F(HeadCompensationTest, IsOfHeadsAloneAndOfGroupsTogether) {
    const std::vector<HeadCompensation> found = measured(1 << 20);
    ASSERT_EQ(found.size(), 2u);
    ASSERT_EQ(found[0].heads.size(), 4u);
    ASSERT_EQ(found[0].groups.size(), 2u);
    const double unseen = 1 - static_cast<double>(kTokens) / static_cast<double>(kTokens + kWidth);
    for (const std::size_t twin : {0u, 1u}) {
        EXPECT_GT(found[0].heads[twin], unseen) << "so few tokens do not prove it";
        EXPECT_LT(found[0].heads[twin], unseen + 0.02);
    }
    EXPECT_NEAR(found[0].groups[0], 1, 1e-9) << "both go, and nobody else knows";
    for (const double share : {found[0].heads[2], found[0].heads[3], found[0].groups[1]}) EXPECT_NEAR(share, 1, 1e-9);
    EXPECT_TRUE(found[1].heads.empty()) << "the file does not know the second block";
}

TEST_F(HeadCompensationTest, DoesNotDependOnThreadsAndGoesWithoutWhereMemoryIsShort) {
    EXPECT_EQ(measured(1 << 20, 1)[0].heads, measured(1 << 20, 2)[0].heads);
    EXPECT_TRUE(measured(100)[0].heads.empty());
}

}  // namespace
}  // namespace plasticity
