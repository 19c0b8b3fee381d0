#include "engine/token_prefix.h"

#include <gtest/gtest.h>

#include <vector>

namespace plasticity {
namespace {

TEST(CommonPrefix, EndsAtTheFirstDifference) {
    const std::vector<std::int32_t> a{1, 2, 3}, b{1, 2, 4, 5}, none;
    EXPECT_EQ(common_prefix(a, b), 2u);
    EXPECT_EQ(common_prefix(b, a), 2u);
    EXPECT_EQ(common_prefix(a, a), 3u);
    EXPECT_EQ(common_prefix(a, none), 0u);
}

}  // namespace
}  // namespace plasticity
