#include "pipeline/pipeline_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "pipeline/template.h"
#include "support/expect_error.h"
#include "support/subprocess.h"

namespace plasticity {
namespace {

using nlohmann::json;

json resolved(const std::string& text, const TemplateScope& scope) {
    return resolve_templates(read_yaml(text, "f"), scope, "f");
}

TEST(Templates, AWholeValueKeepsItsType) {
    const json input{{"n", 5}, {"text", "a"}, {"list", {1, 2}}};
    const json steps = json::parse(R"({"s":{"status":"done","data":{"path":"/x","items":[{"a":1},{"a":2}]}}})");
    const TemplateScope scope{.input = input, .steps = steps};
    EXPECT_EQ(resolved(R"("{{input.n}}")", scope), 5);
    EXPECT_EQ(resolved(R"("{{ input.list }}")", scope), json({1, 2}));
    EXPECT_EQ(resolved(R"("{{input.text}}-{{input.n}}")", scope), "a-5");
    EXPECT_EQ(resolved(R"("{{steps.s.data.path}}/y")", scope), "/x/y");
    EXPECT_EQ(resolved(R"("{{steps.s.status}}")", scope), "done");
    EXPECT_EQ(resolved(R"("{{steps.s.data.items.1.a}}")", scope), 2);
    EXPECT_EQ(resolved(R"("{{steps.s.data.items.*.a}}")", scope), json({1, 2}));
    EXPECT_EQ(resolved(R"({a: ["{{input.n}}", x], b: 1})", scope), json::parse(R"({"a":[5,"x"],"b":1})"));
}

TEST(Templates, SayWhatIsNotThere) {
    const json input{{"list", {1}}}, steps = json::object(), item = "i";
    const TemplateScope scope{.input = input, .steps = steps};
    const auto refused = [&](const std::string& text, const std::string& part, ErrorKind kind) {
        test::expect_error(kind, {"f:1:1", part}, [&] { resolved(text, scope); });
    };
    refused(R"("{{input.x}}")", "there is no x", ErrorKind::kUsage);
    refused(R"("{{steps.s.data}}")", "there is no s", ErrorKind::kUsage);
    refused(R"("{{input.list.7}}")", "there is no 7", ErrorKind::kUsage);
    refused(R"("a {{input.list}}")", "must be the whole value", ErrorKind::kUsage);
    refused(R"("{{item}}")", "forEach", ErrorKind::kUsage);
    refused(R"("{{input.list")", "without }}", ErrorKind::kMalformed);
    for (const char* text :
         {R"("{{}}")", R"("{{input}}")", R"("{{input.}}")", R"("{{env.HOME}}")", R"("{{input.a b}}")"})
        refused(text, "is no reference", ErrorKind::kMalformed);
    EXPECT_EQ(resolved(R"("{{item}}{{index}}")", {.input = input, .steps = steps, .item = &item, .index = 3}), "i3");
}

TEST(Templates, OfADryRunStayWhereNothingIsKnown) {
    const json input = json::object(), steps = json::object();
    EXPECT_EQ(resolved(R"("a {{steps.s.data.x}}")", {.input = input, .steps = steps, .is_dry_run = true}),
              "a {{steps.s.data.x}}");
}

TEST(Templates, BoundWhatTheyInsert) {
    const json input{{"x", std::string(60'000, 'x')}}, steps = json::object();
    std::string text = "\"";
    for (int i = 0; i < 100; ++i) text += "{{input.x}}";
    test::expect_error(ErrorKind::kUsage, {"bytes here"},
                       [&] { resolved(text + "\"", {.input = input, .steps = steps}); });
}

const std::string kStep =
    "steps:\n  - name: a\n    type: Command\n    command: plasticity/topology\n    params: {modelPath: /m}\n";

TEST(PipelineFile, ReadsStepsAndTheirConditions) {
    const Pipeline pipeline = parse_pipeline("inputs: {m: , n: 5}\n" + kStep +
                                                 "  - {name: b, type: Shell, command: echo $x, if: failure, onFailure: "
                                                 "continue, params: {x: \"{{steps.a.data.y}}\"}}\n",
                                             "dir/p.yaml");
    EXPECT_EQ(pipeline.name, "p");
    EXPECT_EQ(pipeline.inputs.at("m"), std::nullopt);
    EXPECT_EQ(pipeline.inputs.at("n"), json(5));
    ASSERT_EQ(pipeline.steps.size(), 2u);
    EXPECT_EQ(pipeline.steps[0].method->name, "plasticity/topology");
    EXPECT_TRUE(pipeline.steps[0].stops_on_failure);
    EXPECT_EQ(pipeline.steps[1].shell, "echo $x");
    EXPECT_EQ(pipeline.steps[1].condition, StepCondition::kFailure);
    EXPECT_FALSE(pipeline.steps[1].stops_on_failure);
}

TEST(PipelineFile, NamesThePlaceOfEveryMistake) {
    const auto refused = [](const std::string& text, const std::vector<std::string>& parts) {
        test::expect_error(ErrorKind::kMalformed, parts, [&] { parse_pipeline(text, "p.yaml"); });
    };
    refused("steps: []\n", {"p.yaml:1:", "list of 1 to"});
    refused("", {"p.yaml:1:1", "a pipeline"});
    refused("more: 1\n" + kStep, {"p.yaml:1:7", "more"});
    refused(kStep + kStep.substr(7), {"p.yaml:6:", "name of its own"});
    refused("steps: [{name: a, command: plasticity/nothing}]\n", {"p.yaml:1:", "is no command"});
    refused("steps: [{name: a, command: plasticity/pipeline}]\n", {"cannot be a step"});
    refused("steps: [{name: a, command: plasticity/topology}]\n", {"wants modelPath"});
    refused("steps: [{name: a, command: plasticity/topology, params: {modelPath: /m, typo: 1}}]\n", {"no parameter"});
    refused("steps: [{name: a, type: Shell, command: \"echo {{input.x}}\"}]\n", {"variables"});
    refused("steps: [{name: a, type: Docker, command: x}]\n", {"Command or Shell"});
    refused("steps: [{name: a, type: Shell, command: x, if: never}]\n", {"success or failure or always"});
    refused("steps: [{name: a, type: Shell, command: x, params: {\"B-C\": 1}}]\n", {"variable"});
    refused("steps: [{name: a, type: Shell, command: x, params: {y: \"{{input.z}}\"}}]\n", {"no input"});
    refused("steps: [{name: a, type: Shell, command: x, params: {y: \"{{steps.b.data}}\"}}]\n", {"no step"});
    refused("steps: [{name: a, type: Shell, command: x, params: {y: \"{{item}}\"}}]\n", {"forEach"});
}

TEST(PipelineFile, InputsAreTypedAndChecked) {
    const Pipeline pipeline = parse_pipeline("inputs: {m: , n: 5}\n" + kStep, "p.yaml");
    EXPECT_EQ(pipeline_inputs(pipeline, {{"m", "7"}}), json({{"m", 7}, {"n", 5}}));
    test::expect_error(ErrorKind::kUsage, {"input m is missing", "'x' is no input"},
                       [&] { pipeline_inputs(pipeline, {{"x", 1}}); });
}

TEST(PipelineFile, TheExamplesAreRead) {
    const std::filesystem::path sources = test::require_environment("PLASTICITY_TEST_SOURCES");
    int n = 0;
    for (const auto& entry : std::filesystem::directory_iterator(sources / "examples/pipelines")) {
        EXPECT_FALSE(load_pipeline(entry.path()).steps.empty());
        ++n;
    }
    EXPECT_GE(n, 2);
}

}  // namespace
}  // namespace plasticity
