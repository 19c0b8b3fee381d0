#include "core/regular_expression.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace plasticity {
namespace {

TEST(RegularExpression, IsFoundAnywhere) {
    const RegularExpression expression("b+C", LetterCase::kKept);
    EXPECT_TRUE(expression.is_in("aabbbC"));
    EXPECT_FALSE(expression.is_in("aabbbc"));
    EXPECT_TRUE(RegularExpression("b+C", LetterCase::kIgnored).is_in("ABc"));
    EXPECT_FALSE(RegularExpression("^b", LetterCase::kKept).is_in("a\nb")) << "^ is where the text begins";
    EXPECT_TRUE(RegularExpression("a.b", LetterCase::kKept).is_in("a\xff\x62 or aéb"));
}

/// By backtracking, as standard libraries match, the first would take longer than the universe has lasted, the second a
/// stack of hundreds of megabytes.
TEST(RegularExpression, NeitherHangsNorExhaustsTheStack) {
    const std::string text(1'000'000, 'a');
    EXPECT_FALSE(RegularExpression("(.*)*x$", LetterCase::kKept).is_in(text));
    EXPECT_TRUE(RegularExpression("^(a|b)*$", LetterCase::kKept).is_in(text));
}

TEST(RegularExpression, SaysWhatIsWrong) {
    const auto problem_of = [](const std::string& text) -> std::string {
        try {
            const RegularExpression expression(text, LetterCase::kKept);
        } catch (const std::invalid_argument& problem) {
            return problem.what();
        }
        return "";
    };
    EXPECT_EQ(problem_of(std::string(1001, 'a')), "has 1001 bytes; expected at most 1000");
    EXPECT_EQ(problem_of(std::string(1000, 'a')), "");
    for (const std::string& text :
         {std::string(1000, '('), std::string("(?=a)"), std::string("(a)\\1"), std::string("a{2000}")})
        EXPECT_NE(problem_of(text).find("is no regular expression"), std::string::npos) << text;
}

}  // namespace
}  // namespace plasticity
