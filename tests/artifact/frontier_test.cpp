#include "artifact/frontier.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

FrontierPoint point(const std::string& name, std::uint64_t bytes, double kl) {
    return {.name = name,
            .variant = "optimal",
            .recipe = "points/" + name + ".recipe.json",
            .file_bytes = bytes,
            .run_time_bytes = bytes + 10,
            .quality = {.positions = 255, .mean_kl = kl, .base_perplexity = 4, .perplexity = 4.5}};
}

/// b is beaten by a, which is smaller and better; e is as large as d and worse.
Frontier example() {
    Frontier frontier{.model = "m.gguf", .device = {"16gb", 16, 5}, .max_kl = 0.02};
    frontier.points = {point("d", 400, 0.01), point("b", 250, 0.3), point("a", 200, 0.1), point("e", 400, 0.05),
                       point("f", 800, 0.001)};
    return frontier;
}

TEST(Frontier, KeepsWhatNoOtherPointBeats) {
    EXPECT_EQ(pareto_indices(example().points), (std::vector<std::size_t>{2, 0, 4}));
    EXPECT_TRUE(pareto_indices({}).empty());
}

TEST(Frontier, OfEqualPointsTheFirstCounts) {
    EXPECT_EQ(pareto_indices({point("a", 100, 0.5), point("b", 100, 0.5)}), (std::vector<std::size_t>{0}));
}

TEST(Frontier, RecommendsTheSmallestThatIsGoodEnough) {
    Frontier frontier = example();
    recommend(frontier);
    EXPECT_EQ(frontier.recommended, "d");
    EXPECT_EQ(frontier.recommended_point()->file_bytes, 400u);
    EXPECT_NE(frontier.reason.find("next smaller: a"), std::string::npos) << frontier.reason;
    EXPECT_NE(frontier.reason.find("next larger: f"), std::string::npos) << frontier.reason;

    frontier.max_kl = 0.2;
    recommend(frontier);
    EXPECT_EQ(frontier.recommended, "a");
}

TEST(Frontier, RecommendsTheBestWhereNoneIsGoodEnough) {
    Frontier frontier = example();
    frontier.max_kl = 1e-4;
    recommend(frontier);
    EXPECT_EQ(frontier.recommended, "f");
    EXPECT_NE(frontier.reason.find("none that fits"), std::string::npos) << frontier.reason;
}

TEST(Frontier, RecommendsNothingOfNothing) {
    Frontier frontier;
    recommend(frontier);
    EXPECT_EQ(frontier.recommended_point(), nullptr);
    EXPECT_FALSE(frontier.reason.empty());
}

TEST(Frontier, PointsReadBack) {
    FrontierPoint written = point("a", 200, 0.1);
    written.predicted_kl = 0.125;
    written.generated_tokens_per_second = 12.5;
    const FrontierPoint read = read_frontier_point(nlohmann::json(frontier_point_json(written)), "here");
    EXPECT_EQ(frontier_point_json(read), frontier_point_json(written));
    EXPECT_EQ(read.predicted_kl, 0.125);

    nlohmann::json json = frontier_point_json(written);
    json["fileBytes"] = -1;
    EXPECT_THROW(read_frontier_point(json, "here"), Error);
}

TEST(Frontier, IsSavedWithItsOrderAndWhatWasLeftOut) {
    Frontier frontier = example();
    frontier.skipped = {{"optimal 8", "9 GB at run time; the device holds 8 GB"}};
    recommend(frontier);
    const test::TempDir dir;
    save_frontier(frontier, dir / "frontier.json", Overwrite::kRefuse);
    const auto json = nlohmann::json::parse(read_text_file(dir / "frontier.json"));
    EXPECT_EQ(json["frontier"], nlohmann::json({"a", "d", "f"}));
    EXPECT_EQ(json["recommended"], "d");
    EXPECT_EQ(json["points"].size(), 5u);
    EXPECT_EQ(json["skipped"][0]["name"], "optimal 8");
}

TEST(Frontier, ReadsBackAsWritten) {
    Frontier frontier = example();
    frontier.skipped = {{"large", "does not fit"}};
    recommend(frontier);
    const std::string text = frontier_to_json(frontier);
    EXPECT_EQ(frontier_to_json(frontier_from_json(text, "frontier.json")), text);
    for (const char* other : {"[]", "{}", R"({"schemaVersion":2})"})
        EXPECT_THROW(frontier_from_json(other, "frontier.json"), Error);
}

}  // namespace
}  // namespace plasticity
