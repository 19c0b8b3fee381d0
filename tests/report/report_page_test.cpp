#include "report/report_page.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "report/markup.h"
#include "report/record_support.h"

namespace plasticity {
namespace {

constexpr const char* kHostile =
    "</td></script><script>alert(1)</script><img src=x onerror='a()'>\" style=\"x\x01\xff&";

std::size_t occurrences(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
    return count;
}

/// Elements that are open at the end, or closed out of order; empty: none.
std::string unbalanced(const std::string& html) {
    static const std::set<std::string> kVoid{"meta", "input", "br", "rect", "path", "circle", "line", "polyline"};
    const std::regex tag("<(/?)([a-z][a-z0-9]*)([^>]*)>");
    std::vector<std::string> open;
    for (std::sregex_iterator match(html.begin(), html.end(), tag), end; match != end; ++match) {
        const std::string name = (*match)[2];
        if (kVoid.contains(name) || (*match)[3].str().ends_with("/")) continue;
        if ((*match)[1].length() == 0) {
            open.push_back(name);
        } else if (open.empty() || open.back() != name) {
            return "</" + name + ">";
        } else {
            open.pop_back();
        }
    }
    return open.empty() ? "" : "<" + open.back() + ">";
}

TEST(ReportPage, EscapesEveryTextOfAStranger) {
    const std::string page = report_page(test::example_record(kHostile));
    EXPECT_EQ(occurrences(page, "<script>"), 1u) << "the page's own";
    EXPECT_EQ(page.find("<img"), std::string::npos);
    EXPECT_EQ(page.find("onerror='"), std::string::npos);
    EXPECT_EQ(page.find('\x01'), std::string::npos);
    EXPECT_EQ(page.find('\xff'), std::string::npos);
    EXPECT_EQ(unbalanced(page), "");
    EXPECT_GT(occurrences(page, "&lt;/td&gt;&lt;/script&gt;"), 10u);
}

TEST(ReportPage, LoadsNothingAndRunsOnlyItsOwnScript) {
    const std::string page = report_page(test::example_record());
    for (const char* loads : {"http:", "https:", "@import", "url(", " src=", "<link"})
        EXPECT_EQ(occurrences(page, loads) -
                      occurrences(page, "\"http://www.w3.org/2000/svg\"") * (std::string(loads) == "http:"),
                  0u)
            << loads;
    EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
    EXPECT_TRUE(std::regex_search(page, std::regex("script-src 'sha256-[A-Za-z0-9+/]{43}='")));
}

TEST(ReportPage, IsWellFormedAndNamesItsParts) {
    const std::string page = report_page(test::example_record());
    EXPECT_EQ(unbalanced(page), "");
    for (const char* id : {"summary", "quality", "samples", "heads", "types", "bytes", "checks", "reasons", "origin"}) {
        EXPECT_EQ(occurrences(page, std::string("<section id=\"") + id + "\""), 1u) << id;
        EXPECT_EQ(occurrences(page, std::string("<a href=\"#") + id + "\""), 1u) << id;
    }
    EXPECT_EQ(page.find("<section id=\"frontier\""), std::string::npos) << "no plans were compared";
    EXPECT_NE(page.find("not verified"), std::string::npos);
    for (const char* number : {"nan", "inf"}) EXPECT_EQ(page.find(number), std::string::npos) << number;
}

TEST(ReportPage, CrossesTheHeadsThatAreRemoved) {
    const std::string page = report_page(test::example_record());
    EXPECT_EQ(occurrences(page, ", removed</title>"), 1u);
    EXPECT_NE(page.find("layer 1, head 1: 0.1000, removed"), std::string::npos);
    EXPECT_NE(page.find("<b>3</b>/4"), std::string::npos);
}

TEST(ReportPage, GivesEveryMatrixItsType) {
    const std::string page = report_page(test::example_record());
    const std::size_t grid = page.find("<table class=\"grid\">"), end = page.find("</table>", grid);
    const std::string table = page.substr(grid, end - grid);
    EXPECT_EQ(occurrences(table, ">q8_0</td>"), 8u) << "q, k, v and o of two layers";
    EXPECT_EQ(occurrences(table, ">q4_K</td>"), 6u) << "gate, up and down";
}

TEST(ReportPage, DrawsAHistogramOnlyWhereThereIsOne) {
    RunRecord record = test::example_record();
    EXPECT_EQ(report_page(record).find("Histogram"), std::string::npos);
    record.report->quality->histogram = {.edges = {0, 0.1, 1}, .counts = {5, 0}};
    EXPECT_NE(report_page(record).find("<title>0 to 0.1 nats: 5 positions</title>"), std::string::npos);
}

TEST(ReportPage, StandsWithTheRecipeAlone) {
    RunRecord record = test::example_record();
    record.report.reset();
    record.samples.reset();
    record.reproduction.reset();
    const std::string page = report_page(record);
    EXPECT_EQ(unbalanced(page), "");
    EXPECT_NE(page.find("Not measured"), std::string::npos);
}

TEST(Markup, KeepsTextAndEscapesMarkup) {
    EXPECT_EQ(markup_escaped("a\tb\nc ü"), "a\tb\nc ü");
    EXPECT_EQ(markup_escaped("<&>\"'"), "&lt;&amp;&gt;&quot;&#39;");
    EXPECT_EQ(markup_escaped(std::string("\0\x1b\x7f", 3)), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    EXPECT_EQ(markup_escaped("half \xe2\x82"), "half \xEF\xBF\xBD");
    EXPECT_EQ(single_line("a\nb\r\tc"), "a b  c");
    EXPECT_EQ(markdown_escaped("a|b <c> `d`\n# e"), "a\\|b \\<c\\> \\`d\\` \\# e");
}

}  // namespace
}  // namespace plasticity
