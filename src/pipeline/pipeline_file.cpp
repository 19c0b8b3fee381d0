#include "pipeline/pipeline_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/printable.h"
#include "pipeline/template.h"

namespace plasticity {
namespace {

using nlohmann::json;
using NodeKind = YamlNode::Kind;

constexpr std::size_t kMaxSteps = 256;
constexpr std::size_t kMaxNameBytes = 64;
constexpr std::string_view kPipelineMethod = "plasticity/pipeline";

bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= kMaxNameBytes && std::ranges::all_of(text, [](char letter) {
        return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
               (letter >= '0' && letter <= '9') || letter == '-' || letter == '_';
    });
}

/// Reads one file's tree; messages begin with file, line and column.
class PipelineReader {
public:
    explicit PipelineReader(std::string where) { pipeline_.where = std::move(where); }

    Pipeline read(const YamlNode& root) {
        check_keys(root, {"name", "inputs", "steps"}, "a pipeline");
        pipeline_.name = root.find("name") == nullptr ? std::filesystem::path(pipeline_.where).stem().string()
                                                      : text_of(*root.find("name"), "name");
        if (const YamlNode* inputs = root.find("inputs")) read_inputs(*inputs);
        const YamlNode* steps = root.find("steps");
        if (steps == nullptr || steps->kind != NodeKind::kList || steps->items.empty() ||
            steps->items.size() > kMaxSteps)
            fail(steps == nullptr ? root : *steps, fmt::format("expected steps, a list of 1 to {}", kMaxSteps));
        for (const YamlNode& step : steps->items) read_step(step);
        return std::move(pipeline_);
    }

private:
    [[noreturn]] void fail(const YamlNode& node, std::string_view problem) const {
        throw Error(ErrorKind::kMalformed,
                    fmt::format("{}:{}:{}: {}", pipeline_.where, node.line, node.column, problem));
    }

    void check_keys(const YamlNode& node, std::initializer_list<std::string_view> known, std::string_view what) const {
        if (node.kind != NodeKind::kMap)
            fail(node, fmt::format("expected {}: a map with {}", what, fmt::join(known, ", ")));
        for (std::size_t i = 0; i < node.keys.size(); ++i)
            if (std::ranges::find(known, node.keys[i]) == known.end())
                fail(node.items[i], fmt::format("{} is no key of {}; expected {}", printable(node.keys[i]), what,
                                                fmt::join(known, ", ")));
    }

    std::string text_of(const YamlNode& node, std::string_view key) const {
        if (node.kind != NodeKind::kScalar || !node.scalar.is_string())
            fail(node, fmt::format("{}: expected text", key));
        return node.scalar.get<std::string>();
    }

    /// One of some words; the first where the key is not there.
    std::size_t choice(const YamlNode& step, std::string_view key,
                       std::initializer_list<std::string_view> words) const {
        const YamlNode* node = step.find(key);
        if (node == nullptr) return 0;
        const auto found = std::ranges::find(words, text_of(*node, key));
        if (found == words.end()) fail(*node, fmt::format("{}: expected {}", key, fmt::join(words, " or ")));
        return static_cast<std::size_t>(found - words.begin());
    }

    void read_inputs(const YamlNode& inputs) {
        if (inputs.kind != NodeKind::kMap) fail(inputs, "inputs: expected a map of names and defaults");
        for (std::size_t i = 0; i < inputs.keys.size(); ++i) {
            const YamlNode& value = inputs.items[i];
            if (!is_name(inputs.keys[i]))
                fail(value, fmt::format("{} is no name of an input", printable(inputs.keys[i])));
            if (value.kind != NodeKind::kScalar) fail(value, "an input's default is a plain value");
            pipeline_.inputs[inputs.keys[i]] = value.scalar.is_null() ? std::nullopt : std::optional(value.scalar);
        }
    }

    void read_step(const YamlNode& node) {
        check_keys(node, {"name", "type", "command", "params", "forEach", "if", "onFailure"}, "a step");
        PipelineStep step;
        step.line = node.line;
        step.column = node.column;
        if (node.find("name") == nullptr) fail(node, "a step without a name");
        step.name = text_of(*node.find("name"), "name");
        if (!is_name(step.name) || !step_names_.insert(step.name).second)
            fail(*node.find("name"), fmt::format("{}: expected a name of its own: letters, digits, - and _, {} at most",
                                                 printable(step.name), kMaxNameBytes));
        read_command(node, step);
        step.condition = static_cast<StepCondition>(choice(node, "if", {"success", "failure", "always"}));
        step.stops_on_failure = choice(node, "onFailure", {"stop", "continue"}) == 0;
        step.params.kind = NodeKind::kMap;
        if (const YamlNode* params = node.find("params")) step.params = *params;
        if (step.params.kind != NodeKind::kMap) fail(step.params, "params: expected a map of names and values");
        if (const YamlNode* list = node.find("forEach")) step.for_each = *list;
        check_references(step);
        check_params(step);
        pipeline_.steps.push_back(std::move(step));
    }

    void read_command(const YamlNode& node, PipelineStep& step) const {
        const YamlNode* command = node.find("command");
        if (command == nullptr) fail(node, fmt::format("step {}: expected a command", step.name));
        const std::string text = text_of(*command, "command");
        if (choice(node, "type", {"Command", "Shell"}) == 1) {
            step.shell = text;
            // A value that is put into a command line would be run as part of it.
            if (has_template(command->scalar))
                fail(*command, "templates belong into params: the shell finds them as variables, $name");
            return;
        }
        step.method = find_method(text);
        if (step.method == nullptr)
            fail(*command, fmt::format("{} is no command; expected one of {}", printable(text), method_names()));
        if (step.method->name == kPipelineMethod) fail(*command, "a pipeline cannot be a step of one");
    }

    /// Names of parameters, as far as they can be checked without values.
    void check_params(const PipelineStep& step) const {
        if (step.method == nullptr) {
            for (std::size_t i = 0; i < step.params.keys.size(); ++i)
                if (!is_name(step.params.keys[i]) || step.params.keys[i].find('-') != std::string::npos)
                    fail(step.params.items[i],
                         fmt::format("{} is no name of a variable", printable(step.params.keys[i])));
            return;
        }
        const auto& known = step.method->parameters;
        for (std::size_t i = 0; i < step.params.keys.size(); ++i)
            if (std::ranges::find(known, step.params.keys[i], &Parameter::name) == known.end())
                fail(step.params.items[i],
                     fmt::format("{} is no parameter of {}", printable(step.params.keys[i]), step.method->name));
        for (const Parameter& parameter : known)
            if (parameter.is_required && step.params.find(parameter.name) == nullptr)
                throw Error(ErrorKind::kMalformed,
                            fmt::format("{}:{}:{}: step {}: {} wants {}", pipeline_.where, step.line, step.column,
                                        step.name, step.method->name, parameter.name));
    }

    void check_references(const PipelineStep& step) const {
        const auto check = [&](const YamlNode& node, std::string_view root, std::string_view name) {
            if (root == "input" && !pipeline_.inputs.contains(std::string(name)))
                fail(node, fmt::format("there is no input {}; inputs declares them", printable(name)));
            const bool is_before =
                std::ranges::any_of(pipeline_.steps, [&](const PipelineStep& before) { return before.name == name; });
            if (root == "steps" && !is_before)
                fail(node, fmt::format("there is no step {} before this one", printable(name)));
            if ((root == "item" || root == "index") && !step.for_each)
                fail(node, fmt::format("{} is there only in steps with forEach", root));
        };
        visit_templates(step.params, pipeline_.where, check);
        if (step.for_each) visit_templates(*step.for_each, pipeline_.where, check);
    }

    Pipeline pipeline_;
    std::set<std::string> step_names_;
};

}  // namespace

Pipeline parse_pipeline(std::string_view text, const std::string& where) {
    return PipelineReader(where).read(read_yaml(text, where));
}

Pipeline load_pipeline(const std::filesystem::path& file) {
    return parse_pipeline(read_text_file(file, YamlLimits{}.bytes), file.string());
}

json pipeline_inputs(const Pipeline& pipeline, const json& given) {
    std::vector<std::string> problems;
    json inputs = json::object();
    for (const auto& [name, value] : given.items()) {
        if (!pipeline.inputs.contains(name)) {
            problems.push_back(fmt::format("{} is no input of it", printable(name)));
            continue;
        }
        inputs[name] = value.is_string() ? plain_scalar(value.get<std::string>()) : value;
    }
    for (const auto& [name, value] : pipeline.inputs) {
        if (inputs.contains(name) && !inputs[name].is_null()) continue;
        if (value)
            inputs[name] = *value;
        else
            problems.push_back(fmt::format("input {} is missing", name));
    }
    if (!problems.empty())
        throw Error(ErrorKind::kUsage, fmt::format("{}: {}", pipeline.where, fmt::join(problems, "; ")));
    return inputs;
}

}  // namespace plasticity
