#include "core/checked.h"

#include <gtest/gtest.h>

namespace plasticity {
namespace {

TEST(Checked, ReturnsNothingWhereItDoesNotFit) {
    EXPECT_EQ(checked_multiply(1ull << 32, (1ull << 32) - 1), ((1ull << 32) - 1) << 32);
    EXPECT_EQ(checked_multiply(1ull << 32, 1ull << 32), std::nullopt);
    EXPECT_EQ(checked_multiply(~0ull, 0), 0u);
    EXPECT_EQ(checked_add(~0ull, 0), ~0ull);
    EXPECT_EQ(checked_add(~0ull, 1), std::nullopt);
}

TEST(Checked, AlignsUpwards) {
    EXPECT_EQ(align_up(0, 32), 0u);
    EXPECT_EQ(align_up(1, 32), 32u);
    EXPECT_EQ(align_up(32, 32), 32u);
    EXPECT_EQ(align_up(33, 8), 40u);
}

}  // namespace
}  // namespace plasticity
