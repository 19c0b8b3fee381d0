#include "model/float8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "support/float8_reference.h"

namespace plasticity {
namespace {

class Float8 : public testing::TestWithParam<const char*> {};

TEST_P(Float8, EveryCodeStandsForWhatTheDefinitionSays) {
    const Float8Values* values = float8_values(GetParam());
    ASSERT_NE(values, nullptr);
    for (int code = 0; code < 256; ++code) {
        const double expected = test::float8_by_definition(GetParam(), static_cast<std::uint8_t>(code));
        const float got = (*values)[static_cast<std::size_t>(code)];
        if (std::isnan(expected)) {
            EXPECT_TRUE(std::isnan(got)) << code;
        } else {
            EXPECT_EQ(got, expected) << code;
            EXPECT_EQ(std::signbit(got), std::signbit(expected)) << code;  // of zero too
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Float8, testing::Values("F8_E4M3", "F8_E5M2", "F8_E8M0"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(Float8Values, HaveTheExtremesOfTheirFormats) {
    const Float8Values &e4m3 = *float8_values("F8_E4M3"), &e5m2 = *float8_values("F8_E5M2");
    EXPECT_EQ(e4m3[0x7E], 448.0f);
    EXPECT_EQ(e4m3[0x01], 0x1p-9f);
    EXPECT_TRUE(std::isnan(e4m3[0x7F]) && std::isnan(e4m3[0xFF]));
    EXPECT_EQ(e5m2[0x7B], 57344.0f);
    EXPECT_EQ(e5m2[0x01], 0x1p-16f);
    EXPECT_TRUE(std::isinf(e5m2[0x7C]) && std::isinf(e5m2[0xFC]));
    EXPECT_EQ((*float8_values("F8_E8M0"))[127], 1.0f);
}

TEST(Float8Values, OtherDtypesHaveNone) {
    for (const char* dtype : {"F16", "I8", "F8_E3M4", ""}) EXPECT_EQ(float8_values(dtype), nullptr) << dtype;
}

}  // namespace
}  // namespace plasticity
