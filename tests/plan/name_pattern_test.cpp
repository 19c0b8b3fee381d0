#include "plan/name_pattern.h"

#include <gtest/gtest.h>

#include <string>

#include "support/expect_error.h"

namespace plasticity {
namespace {

TEST(NamePattern, IsFoundAnywhereInANameRegardlessOfCase) {
    const NamePattern pattern("ATTN_(q|K)");
    EXPECT_TRUE(pattern.is_in("blk.3.attn_q.weight"));
    EXPECT_TRUE(pattern.is_in("blk.3.attn_k.weight"));
    EXPECT_FALSE(pattern.is_in("blk.3.attn_v.weight"));
    EXPECT_TRUE(NamePattern("^blk\\.(1[0-9])\\.").is_in("blk.12.attn_q.weight"));
    EXPECT_FALSE(NamePattern("^attn").is_in("blk.12.attn_q.weight"));
    EXPECT_FALSE(NamePattern("\\D\\.weight$").is_in("7.weight")) << "classes keep their case";
    EXPECT_EQ(pattern.text(), "ATTN_(q|K)");
}

TEST(NamePattern, IsARegularExpressionOfBoundedLength) {
    for (const char* text : {"(", "[[:no:]]", "(((a{1000}){1000}){1000})", "(?!output)", "(a)\\1"})
        test::expect_error(ErrorKind::kUsage, {text, "is no regular expression"}, [&] { NamePattern pattern(text); });
    test::expect_error(ErrorKind::kUsage, {"has 1001 bytes; expected at most 1000"},
                       [] { NamePattern pattern(std::string(1001, 'a')); });
    EXPECT_NO_THROW(NamePattern(std::string(1000, 'a')));
}

}  // namespace
}  // namespace plasticity
