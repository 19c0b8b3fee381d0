#include "report/frontier_plot.h"

#include <gtest/gtest.h>

#include <regex>

namespace plasticity {
namespace {

Frontier example() {
    Frontier frontier{.model = "a<b>&\"c\".gguf", .device = {"16gb", 16'000'000'000, 0}, .max_kl = 0.02};
    for (const auto& [name, variant, bytes, kl] :
         {std::tuple("optimal 4", "optimal", 400'000'000u, 0.05), std::tuple("pruned 4", "pruned", 390'000'000u, 0.08),
          std::tuple("optimal 8", "optimal", 800'000'000u, 0.0)})
        frontier.points.push_back(
            {.name = name, .variant = variant, .file_bytes = bytes, .quality = {.positions = 1, .mean_kl = kl}});
    recommend(frontier);
    return frontier;
}

/// Every number after `attribute="` in the text.
std::vector<double> numbers(const std::string& svg, const std::string& attribute) {
    std::vector<double> found;
    const std::regex pattern(attribute + "=\"([0-9.]+)\"");
    for (std::sregex_iterator match(svg.begin(), svg.end(), pattern), end; match != end; ++match)
        found.push_back(std::stod((*match)[1]));
    return found;
}

TEST(FrontierPlot, PutsEveryPointWithinThePicture) {
    const std::string svg = frontier_svg(example());
    for (const double x : numbers(svg, "cx")) EXPECT_TRUE(x > 72 && x < 720 - 24) << x;
    for (const double y : numbers(svg, "cy")) EXPECT_TRUE(y > 56 && y < 440 - 56) << y;
    EXPECT_EQ(numbers(svg, "cx").size(), 3u) << "two round ones, and the ring of the one to take";
    EXPECT_NE(svg.find("class=\"pruned\" d=\"M"), std::string::npos);
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(FrontierPlot, LargerFilesLieFurtherRightAndWorseOnesHigher) {
    const std::string svg = frontier_svg(example());
    const std::vector<double> x = numbers(svg, "cx"), y = numbers(svg, "cy");
    EXPECT_LT(x.front(), x.back());
    EXPECT_LT(y.front(), y.back());
}

TEST(FrontierPlot, NamesOfModelsAreText) {
    const std::string svg = frontier_svg(example());
    EXPECT_EQ(svg.find("a<b>"), std::string::npos);
    EXPECT_NE(svg.find("a&lt;b&gt;&amp;&quot;c&quot;.gguf"), std::string::npos);
}

TEST(FrontierPlot, StandsOnePointAlone) {
    Frontier frontier = example();
    frontier.points.resize(1);
    recommend(frontier);
    const std::string svg = frontier_svg(frontier);
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(numbers(svg, "cx").size(), 2u);
}

TEST(FrontierPlot, TableMarksTheOneToTake) {
    Frontier frontier = example();
    frontier.skipped = {{"optimal 16", "too large"}};
    const std::string table = frontier_table(frontier);
    EXPECT_NE(table.find("* optimal 8"), std::string::npos) << table;
    EXPECT_NE(table.find("optimal 16      not measured: too large"), std::string::npos) << table;
}

}  // namespace
}  // namespace plasticity
