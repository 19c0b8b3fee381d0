#include "report/score_map.h"

#include <gtest/gtest.h>

#include <regex>

namespace plasticity {
namespace {

NamedScores task(const std::string& name, std::vector<std::vector<double>> sums) {
    GateGradients gradients;
    gradients.model_name = "a<b>";
    gradients.num_steps = 1;
    gradients.absolute_sums = std::move(sums);
    return {name, gradients};
}

std::size_t count_of(const std::string& text, const std::string& pattern) {
    const std::regex expression(pattern);
    return static_cast<std::size_t>(
        std::distance(std::sregex_iterator(text.begin(), text.end(), expression), std::sregex_iterator()));
}

TEST(ScoreMap, HasACellForEveryHead) {
    const std::string svg = score_map_svg({task("code", {{1, 0.5, 0}, {}, {1}})});
    EXPECT_EQ(count_of(svg, "<title>layer"), 4u);
    EXPECT_EQ(count_of(svg, "<title>layer 0, head 2: 0.0000</title>"), 1u);
    EXPECT_EQ(count_of(svg, "class=\"less\""), 0u);
    EXPECT_EQ(svg.find("a<b>"), std::string::npos);
    EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(ScoreMap, OfTwoTasksShowsWhichUsesAHeadMore) {
    const std::string svg = score_map_svg({task("code", {{1, 0}}), task("prose", {{0, 1}})});
    EXPECT_EQ(count_of(svg, "<title>layer"), 6u);
    EXPECT_EQ(count_of(svg, "<title>layer 0, head 0: 1.0000</title>"), 2u)
        << "in the first, and by how much it differs";
    EXPECT_EQ(count_of(svg, "<title>layer 0, head 1: -1.0000</title>"), 1u);
    EXPECT_EQ(count_of(svg, "rank correlation of the two -1.000"), 1u);
}

TEST(ScoreMap, AsTextPutsTasksSideBySide) {
    EXPECT_NE(score_map_text({{{0, 1}, {}}, {{1, 0}, {}}}).find("    0 | @| |@ |\n    1 || ||\n"), std::string::npos);
}

}  // namespace
}  // namespace plasticity
