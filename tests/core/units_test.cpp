#include "core/units.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"

namespace plasticity {
namespace {

TEST(ParseBytes, TakesBareBytesExactly) {
    EXPECT_EQ(parse_bytes("0"), 0u);
    EXPECT_EQ(parse_bytes("338263040"), 338263040u);
    EXPECT_EQ(parse_bytes("9007199254740993"), 9007199254740993u);  // 2^53 + 1: no way through a double
    EXPECT_EQ(parse_bytes("9223372036854775807"), 9223372036854775807u);
}

TEST(ParseBytes, TakesDecimalAndBinaryUnits) {
    EXPECT_EQ(parse_bytes("12.9GB"), 12'900'000'000u);
    EXPECT_EQ(parse_bytes("12GiB"), 12ull << 30);
    EXPECT_EQ(parse_bytes("1k"), 1000u);
    EXPECT_EQ(parse_bytes("1kB"), 1000u);
    EXPECT_EQ(parse_bytes("1KiB"), 1024u);
    EXPECT_EQ(parse_bytes("320MB"), 320'000'000u);
    EXPECT_EQ(parse_bytes("1.5MiB"), 1'572'864u);
    EXPECT_EQ(parse_bytes("2T"), 2'000'000'000'000u);
    EXPECT_EQ(parse_bytes("2TiB"), 2ull << 40);
    EXPECT_EQ(parse_bytes("7B"), 7u);
}

TEST(ParseBytes, IgnoresCaseAndASpace) {
    EXPECT_EQ(parse_bytes("12gib"), 12ull << 30);
    EXPECT_EQ(parse_bytes("12 GB"), 12'000'000'000u);
    EXPECT_EQ(parse_bytes("12Gb"), 12'000'000'000u);
}

TEST(ParseBytes, RefusesEverythingElse) {
    for (const char* text : {"",
                             " ",
                             "GB",
                             "-1",
                             "+1",
                             "-1GB",
                             "1.2.3GB",
                             ".",
                             "1,5GB",
                             "12XB",
                             "12GiBs",
                             "12Gi",
                             "12 GB ",
                             " 12GB",
                             "nan",
                             "inf",
                             "0x10",
                             "1e9",
                             "1.5",
                             "12G B",
                             "9223372036854775808",
                             "18446744073709551616",
                             "9300000TB",
                             "9223373T",
                             "8388608TiB"}) {
        SCOPED_TRACE(text);
        try {
            const std::uint64_t bytes = parse_bytes(text);
            ADD_FAILURE() << "taken as " << bytes;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kUsage);
            EXPECT_NE(std::string_view(error.what()).find(std::string("'") + text + "'"), std::string_view::npos);
        }
    }
}

TEST(FormatBytes, UsesDecimalUnitsAndAtMostFourDigits) {
    EXPECT_EQ(format_bytes(0), "0 B");
    EXPECT_EQ(format_bytes(999), "999 B");
    EXPECT_EQ(format_bytes(1000), "1.00 kB");
    EXPECT_EQ(format_bytes(338'263'040), "338.3 MB");
    EXPECT_EQ(format_bytes(12'900'000'000), "12.9 GB");
    EXPECT_EQ(format_bytes(1'234'567), "1.23 MB");
    EXPECT_EQ(format_bytes(999'940'000), "999.9 MB");
    EXPECT_EQ(format_bytes(999'950'000), "1.00 GB");
    EXPECT_EQ(format_bytes(std::numeric_limits<std::uint64_t>::max()), "18.4 EB");
}

TEST(FormatDuration, ChoosesItsUnits) {
    EXPECT_EQ(format_duration(0), "0.0 s");
    EXPECT_EQ(format_duration(4.2), "4.2 s");
    EXPECT_EQ(format_duration(59.94), "59.9 s");
    EXPECT_EQ(format_duration(59.99), "1 min 00 s");
    EXPECT_EQ(format_duration(187), "3 min 07 s");
    EXPECT_EQ(format_duration(3599.7), "1 h 00 min");
    EXPECT_EQ(format_duration(3720), "1 h 02 min");
    EXPECT_EQ(format_duration(std::numeric_limits<double>::infinity()), "?");
    EXPECT_EQ(format_duration(-1), "?");
}

}  // namespace
}  // namespace plasticity
