#include "ipc/parameters.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "ipc/arguments.h"
#include "support/expect_error.h"
#include "support/file_content.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

using nlohmann::json;

const Method& method(const char* name) {
    return *find_method(name);
}

json compress_with(const json& further) {
    json given{{"capturePath", "/a/g.json"}, {"modelPath", "/a/m.gguf"}, {"outputPath", "/a/o.gguf"}};
    given.update(further);
    return given;
}

TEST(MethodParameters, AreCheckedAndPathsMadeNormal) {
    const json checked = check_parameters(
        method("plasticity/compress"), compress_with({{"deviceSpec", "32gb"}, {"outputPath", "/a/../b/o.gguf"}}), {});
    EXPECT_EQ(checked["outputPath"], "/b/o.gguf");
    EXPECT_EQ(checked["deviceSpec"], "32gb");
    EXPECT_EQ(checked.size(), 4u);
}

TEST(MethodParameters, EveryProblemIsNamedAtOnce) {
    test::expect_error(
        ErrorKind::kUsage, {"modelPath: is missing", "threads: is '-1'", "typo", "targetBpw: is '\"x\"'"}, [] {
            check_parameters(
                method("plasticity/compress"),
                {{"capturePath", "/a"}, {"outputPath", "/b"}, {"threads", -1}, {"typo", 1}, {"targetBpw", "x"}}, {});
        });
}

TEST(MethodParameters, RefusesValuesOfAnotherKind) {
    const ParameterRules rules;
    const auto refused = [&](ParameterKind kind, const json& value) {
        test::expect_error(ErrorKind::kUsage, {"expected"}, [&] { check_value(kind, value, rules); });
    };
    refused(ParameterKind::kInput, "relative/path");
    refused(ParameterKind::kInput, "~other/x");
    refused(ParameterKind::kInput, 5);
    refused(ParameterKind::kInput, "");
    refused(ParameterKind::kInput, std::string("/a\0b", 4));
    refused(ParameterKind::kInput, "/" + std::string(1 << 17, 'x'));
    refused(ParameterKind::kInputs, json::array());
    refused(ParameterKind::kInputs, json::array({1}));
    refused(ParameterKind::kModel, "../m.gguf");
    refused(ParameterKind::kModel, "--help");
    refused(ParameterKind::kInteger, 1.5);
    refused(ParameterKind::kInteger, "5");
    refused(ParameterKind::kInteger, std::uint64_t{1} << 60);
    refused(ParameterKind::kNumber, "5");
    refused(ParameterKind::kSwitch, 1);
    refused(ParameterKind::kObject, json{{"a", {{"b", 1}}}});
    refused(ParameterKind::kDevice, 5);
}

TEST(MethodParameters, TakesHubNamesAndDevicesAsObjects) {
    EXPECT_EQ(check_value(ParameterKind::kModel, "Owner/Name", {}), "Owner/Name");
    const json device{{"memoryGb", 48}, {"reservedGb", 4}, {"label", "two cards"}};
    EXPECT_EQ(check_value(ParameterKind::kDevice, device, {}), device);
}

TEST(MethodParameters, TypedTextStandsForNumbersListsAndPaths) {
    const test::TempDir dir;
    const ParameterRules typed{.folder = dir.path(), .from_text = true};
    EXPECT_EQ(check_value(ParameterKind::kInteger, "12", typed), 12);
    EXPECT_EQ(check_value(ParameterKind::kNumber, "4.5", typed), 4.5);
    EXPECT_EQ(check_value(ParameterKind::kSwitch, "true", typed), true);
    EXPECT_EQ(check_value(ParameterKind::kInputs, "a", typed), json::array({(dir / "a").string()}));
    EXPECT_EQ(check_value(ParameterKind::kObject, R"({"a":1})", typed), json({{"a", 1}}));
    const char* home = std::getenv("HOME");
    ASSERT_NE(home, nullptr);
    EXPECT_EQ(check_value(ParameterKind::kInput, "~/x", typed), std::string(home) + "/x");
}

TEST(MethodParameters, ARelativeNameOfAFileThatIsThereIsNoHubName) {
    const test::TempDir dir;
    std::filesystem::create_directory(dir / "Owner");
    test::write_bytes(dir / "Owner/Name", "x");
    EXPECT_EQ(check_value(ParameterKind::kModel, "Owner/Name", {.folder = dir.path()}), (dir / "Owner/Name").string());
}

TEST(MethodArguments, ValuesAreNeverTakenForOptions) {
    const json parameters{
        {"modelPath", "/m"}, {"prune", "--force"}, {"dataPaths", {"/a", "/b"}}, {"on", true}, {"off", false}};
    EXPECT_EQ(
        Arguments("score", parameters)
            .positional("modelPath")
            .options(
                {{"--prune", "prune"}, {"--data", "dataPaths"}, {"--on", "on"}, {"--off", "off"}, {"--x", "absent"}})
            .take(),
        (std::vector<std::string>{"score", "/m", "--prune=--force", "--data=/a", "--data=/b", "--on"}));
}

TEST(CompressMethod, PlansWritesAndVerifies) {
    const Method& compress = method("plasticity/compress");
    const json parameters = check_parameters(compress, compress_with({{"targetSize", "90MB"}, {"threads", 2}}), {});
    const auto steps = compress.steps(parameters);
    ASSERT_EQ(steps.size(), 3u);
    EXPECT_EQ(steps[0].arguments,
              (std::vector<std::string>{"plan", "/a/m.gguf", "--scores=/a/g.json", "--target-size=90MB",
                                        "--output=/a/o.gguf.recipe.json", "--threads=2"}));
    EXPECT_EQ(steps[1].arguments, (std::vector<std::string>{"compress", "/a/m.gguf", "--recipe=/a/o.gguf.recipe.json",
                                                            "--output=/a/o.gguf", "--threads=2"}));
    EXPECT_EQ(steps[2].arguments, (std::vector<std::string>{"verify", "/a/o.gguf", "--threads=2"}));
    EXPECT_EQ(compress.promise(parameters),
              json::parse(R"({"ggufPath":"/a/o.gguf","recipePath":"/a/o.gguf.recipe.json"})"));
}

TEST(CompressMethod, FindsTheStatisticsBesideTheScores) {
    const test::TempDir dir;
    const Method& compress = method("plasticity/compress");
    test::write_bytes(dir / "stats.gguf", "x");
    const json given = compress_with({{"targetSize", 1}, {"capturePath", (dir / "g.json").string()}});
    const auto steps = compress.steps(check_parameters(compress, given, {}));
    EXPECT_EQ(steps[0].arguments[3], "--stats=" + (dir / "stats.gguf").string());
}

TEST(CompressMethod, WantsOneBudget) {
    const Method& compress = method("plasticity/compress");
    for (const json& budgets : {json::object(), json{{"targetSize", 1}, {"deviceSpec", "16gb"}}})
        test::expect_error(ErrorKind::kUsage, {"exactly one of deviceSpec"},
                           [&] { compress.steps(check_parameters(compress, compress_with(budgets), {})); });
}

TEST(AnalyzeMethod, FindsCandidates) {
    const nlohmann::ordered_json printed{{"model", "m"},
                                         {"heads", 4},
                                         {"kv_heads", 2},
                                         {"examples", 3},
                                         {"tokens", 96},
                                         {"mean_loss", 2.5},
                                         {"layer_scores", {{0.05, 0.02, 0.5, 0.01}, {1.0, 0.3, 0.2, 0.1}}}};
    const auto result = method("plasticity/analyze").result({{"capturePath", "/g"}}, {printed});
    EXPECT_EQ(result["candidateHeads"].size(), 3u);
    EXPECT_EQ(result["candidateHeads"][0]["headIndex"], 3);
    ASSERT_EQ(result["candidateKvGroups"].size(), 1u);
    EXPECT_EQ(result["candidateKvGroups"][0]["kvHeadIndex"], 0);
    EXPECT_EQ(result["candidateKvGroups"][0]["largestScore"], 0.05);
}

TEST(Methods, AreAllDescribed) {
    for (const Method& one : methods()) {
        const auto description = describe(one);
        EXPECT_EQ(description["parameters"].size(), one.parameters.size());
        EXPECT_TRUE(one.name.starts_with("plasticity/"));
    }
    EXPECT_EQ(find_method("plasticity/nothing"), nullptr);
}

}  // namespace
}  // namespace plasticity
