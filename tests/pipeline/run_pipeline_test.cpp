#include "pipeline/run_pipeline.h"

#include <gtest/gtest.h>

#include "pipeline/pipeline_state.h"
#include "support/expect_error.h"
#include "support/file_content.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

using nlohmann::json;

/// Steps that a shell does: what commands do is tried on a real model, by tests/ipc/ipc_test.py.
class ShellPipeline : public testing::Test {
protected:
    PipelineResult run(const std::string& steps, const json& input = json::object()) {
        PipelineOptions options{.file = test::write_bytes(dir_ / "p.yaml", steps),
                                .input = input,
                                .folder = dir_.path(),
                                .state = {},
                                .allow_shell = allow_shell_,
                                .dry_run = dry_run_};
        return run_pipeline(options, *make_progress(ProgressStyle::kQuiet));
    }

    test::TempDir dir_;
    bool allow_shell_ = true, dry_run_ = false;
};

TEST_F(ShellPipeline, StepsPassOnWhatTheyFound) {
    const auto result =
        run("inputs: {word: }\n"
            "steps:\n"
            "  - {name: a, type: Shell, command: 'echo \"$w $w\"; pwd >where', params: {w: \"{{input.word}}\"}}\n"
            "  - {name: b, type: Shell, forEach: [x, y], command: 'printf %s \"$i$n\"', params: {i: \"{{item}}\", n: "
            "\"{{index}}\"}}\n"
            "  - {name: c, type: Shell, command: 'printf %s \"$x\"', params: {x: "
            "\"{{steps.a.data.output}}/{{steps.b.data.1.output}}\"}}\n",
            {{"word", "$(touch evil) `x` ;"}});
    EXPECT_EQ(result.exit_code, 0);
    const auto& steps = result.document["steps"];
    EXPECT_EQ(steps["a"]["data"]["output"], "$(touch evil) `x` ; $(touch evil) `x` ;");
    EXPECT_EQ(steps["b"]["data"][1]["output"], "y1");
    EXPECT_EQ(steps["c"]["data"]["output"], "$(touch evil) `x` ; $(touch evil) `x` ;/y1");
    EXPECT_FALSE(std::filesystem::exists(dir_ / "evil"));
    EXPECT_EQ(test::read_bytes(dir_ / "where"), std::filesystem::canonical(dir_.path()).string() + "\n");
}

TEST_F(ShellPipeline, ConditionsFollowFailures) {
    const auto result =
        run("steps:\n"
            "  - {name: tolerated, type: Shell, command: exit 1, onFailure: continue}\n"
            "  - {name: bad, type: Shell, command: exit 3}\n"
            "  - {name: skipped, type: Shell, command: 'true'}\n"
            "  - {name: cleanup, type: Shell, command: 'true', if: failure}\n"
            "  - {name: last, type: Shell, command: 'true', if: always}\n");
    EXPECT_EQ(result.exit_code, 7);
    EXPECT_EQ(result.document["passed"], false);
    const auto& steps = result.document["steps"];
    EXPECT_EQ(steps["tolerated"]["status"], "failed");
    EXPECT_EQ(steps["bad"]["data"]["exitCode"], 3);
    EXPECT_EQ(steps["skipped"]["status"], "skipped");
    EXPECT_EQ(steps["cleanup"]["status"], "done");
    EXPECT_EQ(steps["last"]["status"], "done");
}

TEST_F(ShellPipeline, WantsToBeAllowed) {
    allow_shell_ = false;
    test::expect_error(ErrorKind::kUsage, {"p.yaml:1:", "--allow-shell"},
                       [&] { run("steps: [{name: a, type: Shell, command: touch evil}]\n"); });
    EXPECT_FALSE(std::filesystem::exists(dir_ / "evil"));
}

TEST_F(ShellPipeline, ADryRunResolvesWhatIsKnownAndRunsNothing) {
    dry_run_ = true;
    const auto result =
        run("inputs: {m: /m.gguf}\n"
            "steps:\n"
            "  - {name: score, command: plasticity/score, params: {modelPath: \"{{input.m}}\", dataPaths: d, "
            "outputPath: g.json}}\n"
            "  - {name: analyze, command: plasticity/analyze, params: {capturePath: "
            "\"{{steps.score.data.capturePath}}\"}}\n"
            "  - {name: say, type: Shell, command: touch evil, params: {x: \"{{steps.score.data.meanLoss}}\"}}\n");
    const auto& steps = result.document["steps"];
    EXPECT_EQ(steps["score"]["params"]["dataPaths"][0], (dir_ / "d").string());
    EXPECT_EQ(steps["analyze"]["params"]["capturePath"], (dir_ / "g.json").string());
    EXPECT_EQ(steps["say"]["params"]["x"], "{{steps.score.data.meanLoss}}");
    EXPECT_FALSE(std::filesystem::exists(dir_ / "evil"));
    EXPECT_FALSE(std::filesystem::exists(dir_ / "p.state.json"));
}

TEST_F(ShellPipeline, WhatIsWrongWithALaterStepIsSaidBeforeTheFirstRuns) {
    test::expect_error(ErrorKind::kUsage, {"p.yaml:3:5", "step b", "tokens"}, [&] {
        run("steps:\n  - {name: a, type: Shell, command: touch begun}\n"
            "  - {name: b, command: plasticity/score, params: {modelPath: /m, dataPaths: d, outputPath: o, tokens: "
            "many}}\n");
    });
    EXPECT_FALSE(std::filesystem::exists(dir_ / "begun"));
}

TEST(PipelineStateFile, KeepsRecordsAndRefusesDamage) {
    const test::TempDir dir;
    {
        PipelineState state(dir / "s.json");
        state.at("a") = {
            .fingerprint = "f", .outputs = {"/o"}, .is_finished = true, .progress = {}, .data = {{"x", 1}}};
        state.save();
    }
    EXPECT_EQ(PipelineState(dir / "s.json").at("a").data["x"], 1);
    for (const char* text : {"{", "[]", R"({"schemaVersion":9,"steps":{}})", R"({"schemaVersion":1,"steps":[]})",
                             R"({"schemaVersion":1,"steps":{"a":{}}})"}) {
        test::write_bytes(dir / "s.json", text);
        test::expect_error(ErrorKind::kMalformed, {"s.json"}, [&] { PipelineState state(dir / "s.json"); });
    }
}

}  // namespace
}  // namespace plasticity
