#include "artifact/device.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kGb = 1'000'000'000;

TEST(ParseDevice, KnowsTheNamedOnes) {
    for (const char* name : {"16gb", "macbookair", "MacBookAir"}) {
        EXPECT_EQ(parse_device(name).memory_bytes, 16 * kGb) << name;
        EXPECT_EQ(parse_device(name).effective_bytes(), 11 * kGb) << name;
    }
    for (const char* name : {"32gb", "macbookpro"}) EXPECT_EQ(parse_device(name).effective_bytes(), 24 * kGb) << name;
    for (const char* name : {"24gb-vram", "5090", "rtx5090"})
        EXPECT_EQ(parse_device(name).effective_bytes(), 22 * kGb) << name;
}

TEST(ParseDevice, ReservesAQuarterButAtLeastThreeGb) {
    EXPECT_EQ(parse_device("8gb").effective_bytes(), 5 * kGb);
    EXPECT_EQ(parse_device("64gb").effective_bytes(), 48 * kGb);
    EXPECT_EQ(parse_device("12.5gb").reserved_bytes, 3'125'000'000u);
}

TEST(ParseDevice, ReadsJson) {
    const Device device = parse_device(R"({"memoryGb": 10, "reservedGb": 2.5, "label": "box"})");
    EXPECT_EQ(device, (Device{"box", 10 * kGb, 2'500'000'000}));
    EXPECT_EQ(parse_device(R"({"memoryGb": 16})").effective_bytes(), 12 * kGb);
}

TEST(ParseDevice, KnowsThisMachine) {
    // Too small a machine is refused, never given a budget of nothing.
    try {
        EXPECT_GT(parse_device("auto").effective_bytes(), 0u);
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    }
}

TEST(ParseDevice, RefusesTheRestWithTheNames) {
    for (const char* bad : {"", "gb", "16", "-16gb", "3gb", "nangb", "infgb", "1e3gb", "16gb ", "pc", "{", "{}",
                            R"({"memoryGb": -1})", R"({"memoryGb": 8, "reservedGb": 8})",
                            R"({"memoryGb": 8, "ram": 1})", R"({"memoryGb": "8"})", R"({"memoryGb": 1e300})"}) {
        try {
            parse_device(bad);
            ADD_FAILURE() << bad;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kUsage) << bad;
            EXPECT_NE(std::string(error.what()).find("macbookair"), std::string::npos) << bad;
        }
    }
}

}  // namespace
}  // namespace plasticity
