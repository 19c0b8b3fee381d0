#include "plan/type_fitting.h"

#include <gtest/gtest.h>

namespace plasticity {
namespace {

/// 256 columns: q8_0 272, q6_K 210, q5_K 176, q4_K 144 bytes a row.
MatrixChoice choice(std::int64_t rows, double sensitivity, std::size_t level) {
    MatrixChoice result;
    result.id = {TensorRole::kQuery, 0};
    result.rows = rows;
    result.cols = 256;
    result.kept = {rows, 256};
    result.ladder = {GGML_TYPE_Q8_0, GGML_TYPE_Q6_K, GGML_TYPE_Q5_K, GGML_TYPE_Q4_K};
    result.start = result.level = level;
    result.sensitivity = sensitivity;
    return result;
}

TEST(StoredBytes, CountPadding) {
    const std::vector<MatrixChoice> choices{choice(1, 1, 0), choice(1, 1, 1)};
    EXPECT_EQ(stored_bytes(choices), 288u + 224u);  // 272 and 210, each up to a multiple of 32
    EXPECT_EQ(smallest_bytes(choices), 160u + 160u);
}

TEST(DemoteUntilFits, TakesTheCheaperDamageFirst) {
    std::vector<MatrixChoice> choices{choice(16, 10, 1), choice(16, 1, 1)};
    const std::uint64_t all = stored_bytes(choices);
    EXPECT_TRUE(demote_until_fits(choices, all));
    EXPECT_EQ(choices[0].level, 1u);
    EXPECT_TRUE(demote_until_fits(choices, all - 1));
    EXPECT_EQ(choices[0].level, 1u);
    EXPECT_EQ(choices[1].level, 2u);
}

TEST(DemoteUntilFits, SaysWhenNothingIsLeft) {
    std::vector<MatrixChoice> choices{choice(16, 1, 0)};
    EXPECT_TRUE(demote_until_fits(choices, 16 * 144));
    EXPECT_FALSE(demote_until_fits(choices, 16 * 144 - 1));
}

TEST(Promoter, GivesBytesToWhomTheyHelpMost) {
    std::vector<MatrixChoice> choices{choice(16, 1, 3), choice(16, 10, 3)};
    Promoter promoter(choices);
    EXPECT_EQ(promoter.promote_within(stored_bytes(choices) + 16 * (176 - 144)), 1u);
    EXPECT_EQ(choices[0].level, 3u);
    EXPECT_EQ(choices[1].level, 2u);
    EXPECT_GT(promoter.promote_within(100'000), 0u);
    EXPECT_EQ(choices[0].level, 0u);
    EXPECT_EQ(choices[1].level, 0u);
}

TEST(Promoter, PassesOverTypesThatGainLittle) {
    // iq4_nl → q4_1 costs as much as q4_1 → q5_0 and gains far less: both at once come first.
    MatrixChoice narrow = choice(16, 1, 2);
    narrow.cols = 32;
    narrow.ladder = {GGML_TYPE_Q5_0, GGML_TYPE_Q4_1, GGML_TYPE_IQ4_NL};
    std::vector<MatrixChoice> choices{narrow};
    Promoter promoter(choices);
    EXPECT_EQ(promoter.promote_within(16 * 22), 1u);
    EXPECT_EQ(choices[0].type(), GGML_TYPE_Q5_0);
}

TEST(Promoter, NeverRepeatsAStepThatWasTakenBack) {
    std::vector<MatrixChoice> choices{choice(16, 1, 3)};
    Promoter promoter(choices);
    const std::uint64_t room = 16 * 176;
    EXPECT_EQ(promoter.promote_within(room), 1u);
    promoter.undo_last();
    EXPECT_EQ(choices[0].level, 3u);
    EXPECT_EQ(promoter.promote_within(room), 0u);
}

}  // namespace
}  // namespace plasticity
