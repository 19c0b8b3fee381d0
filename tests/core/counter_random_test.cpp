#include "core/counter_random.h"

#include <gtest/gtest.h>

namespace plasticity {
namespace {

// 4,096 draws: the mean of uniform numbers is within 5 standard errors, 5 · √(1/12) / 64 = 0.0226, of a half.
TEST(UniformAt, IsSpreadOverTheUnitInterval) {
    double sum = 0;
    for (std::uint64_t i = 0; i < 4096; ++i) {
        const double u = uniform_at(7, i);
        ASSERT_GE(u, 0);
        ASSERT_LT(u, 1);
        sum += u;
    }
    EXPECT_NEAR(sum / 4096, 0.5, 0.0226);
    EXPECT_NE(uniform_at(7, 0), uniform_at(8, 0));
    EXPECT_EQ(uniform_at(7, 3), uniform_at(7, 3));
}

}  // namespace
}  // namespace plasticity
