#include "core/progress.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace plasticity {
namespace {

/// What a style prints while `use` works with it.
template <typename Use>
std::string printed(ProgressStyle style, bool is_terminal, Use&& use) {
    char* text = nullptr;
    std::size_t size = 0;
    std::FILE* stream = open_memstream(&text, &size);
    {
        const std::unique_ptr<Progress> progress = make_progress(style, stream, is_terminal);
        use(*progress);
    }
    std::fclose(stream);
    const std::unique_ptr<char, void (*)(void*)> owner(text, std::free);
    return {text, size};
}

void run_a_task(Progress& progress) {
    progress.begin("score", 500, "tokens");
    for (int i = 0; i < 5000; ++i) progress.advance(i % 10 == 0 ? 1 : 0, "loss 1.93");
    progress.note("a remark");
    progress.end();
}

std::size_t count_of(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
    return count;
}

TEST(Progress, QuietPrintsNothing) {
    EXPECT_EQ(printed(ProgressStyle::kQuiet, true, run_a_task), "");
    EXPECT_EQ(printed(ProgressStyle::kQuiet, false, run_a_task), "");
}

TEST(Progress, LinesAreFewAndPlain) {
    const std::string text = printed(ProgressStyle::kAuto, false, run_a_task);
    EXPECT_EQ(text.find('\r'), std::string::npos);
    EXPECT_EQ(text.find('\033'), std::string::npos);
    EXPECT_EQ(text.rfind("score\n", 0), 0u);
    EXPECT_NE(text.find("a remark\n"), std::string::npos);
    EXPECT_NE(text.find("score: 500 of 500 tokens"), std::string::npos);
    EXPECT_LE(count_of(text, "\n"), 4u);  // begin, note, end, and one more on a slow machine
}

TEST(Progress, BarIsDrawnInPlaceAndSeldom) {
    const std::string text = printed(ProgressStyle::kAuto, true, run_a_task);
    EXPECT_NE(text.find("\rscore"), std::string::npos);
    EXPECT_NE(text.find("a remark\n"), std::string::npos);
    EXPECT_NE(text.find("score: 500 of 500 tokens"), std::string::npos);
    EXPECT_LT(count_of(text, "\r"), 100u);  // of 5000 calls
    EXPECT_EQ(text.back(), '\n');
}

TEST(Progress, BarStaysWithinTheLine) {
    const std::string text = printed(ProgressStyle::kAuto, true, [](Progress& progress) {
        progress.begin(std::string(300, 'x') + "ä", 10, "tensors");
        progress.advance(1, std::string(300, 'y'));
    });
    const std::string line = text.substr(1, text.find('\033') - 1);
    EXPECT_LT(line.size(), 80u);
}

TEST(Progress, BarDropsColourWhereAsked) {
    setenv("NO_COLOR", "1", 1);
    const std::string plain = printed(ProgressStyle::kAuto, true, run_a_task);
    unsetenv("NO_COLOR");
    const std::string coloured = printed(ProgressStyle::kAuto, true, run_a_task);
    EXPECT_EQ(plain.find("\033[32m"), std::string::npos);
    EXPECT_NE(coloured.find("\033[32m"), std::string::npos);
}

TEST(Progress, JsonIsOneObjectALine) {
    std::istringstream lines(printed(ProgressStyle::kJson, true, run_a_task));
    std::vector<nlohmann::json> events;
    for (std::string line; std::getline(lines, line);) events.push_back(nlohmann::json::parse(line));
    ASSERT_GE(events.size(), 3u);
    EXPECT_EQ(events.front()["event"], "begin");
    EXPECT_EQ(events.front()["task"], "score");
    EXPECT_EQ(events.front()["total"], 500);
    EXPECT_TRUE(events.front()["eta_s"].is_null());
    EXPECT_EQ(events.back()["event"], "end");
    EXPECT_EQ(events.back()["done"], 500);
    EXPECT_EQ(events.back()["unit"], "tokens");
    EXPECT_EQ(events.back()["detail"], "loss 1.93");
    EXPECT_EQ(events.back()["eta_s"], 0);
    EXPECT_GE(events.back()["elapsed_s"].get<double>(), 0);
    EXPECT_EQ(events[events.size() - 2]["message"], "a remark");
}

TEST(Progress, JsonSurvivesTextThatIsNotUtf8) {
    const std::string text =
        printed(ProgressStyle::kJson, false, [](Progress& progress) { progress.note("bad \xff byte"); });
    EXPECT_EQ(nlohmann::json::parse(text)["message"], "bad \uFFFD byte");
}

TEST(Progress, AnUnknownTotalHasNoShare) {
    const auto run = [](Progress& progress) {
        progress.begin("read", 0, "bytes");
        progress.advance(1'500'000);
        progress.end();
    };
    EXPECT_NE(printed(ProgressStyle::kAuto, false, run).find("read: 1.50 MB, "), std::string::npos);
    EXPECT_EQ(printed(ProgressStyle::kAuto, true, run).find('%'), std::string::npos);
}

TEST(Progress, ToleratesCallsOutOfOrder) {
    for (const ProgressStyle style : {ProgressStyle::kAuto, ProgressStyle::kJson})
        printed(style, true, [](Progress& progress) {
            progress.advance(1);
            progress.end();
            progress.begin("one", 1, "x");
            progress.begin("two", 1, "x");  // ends the first
            progress.advance(5);            // beyond the total
            progress.end();
            progress.end();
        });
}

}  // namespace
}  // namespace plasticity
