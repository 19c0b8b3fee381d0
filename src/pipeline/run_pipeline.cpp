#include "pipeline/run_pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/interrupt.h"
#include "ipc/parameters.h"
#include "pipeline/run_step.h"
#include "pipeline/template.h"

namespace plasticity {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t kMaxItems = 1024;

class PipelineRun {
public:
    PipelineRun(const PipelineOptions& options, Progress& progress)
        : options_(options),
          pipeline_(load_pipeline(options.file)),
          inputs_(pipeline_inputs(pipeline_, options.input)),
          runner_({.folder = options.folder, .repeat = options.repeat}, progress),
          progress_(progress) {}

    PipelineResult execute() {
        check_before();
        if (options_.dry_run) return finished(resolve_all());
        PipelineState state(options_.state.empty() ? options_.folder / (options_.file.stem().string() + ".state.json")
                                                   : options_.state);
        for (const PipelineStep& step : pipeline_.steps) run(step, state);
        return finished(documents_);
    }

private:
    /// Whatever is wrong with any step is said before the first one runs, as far as that can be known.
    void check_before() {
        for (const PipelineStep& step : pipeline_.steps)
            if (step.method == nullptr && !options_.allow_shell)
                throw Error(ErrorKind::kUsage,
                            fmt::format("{}:{}:{}: step {} is of type Shell; --allow-shell lets such steps run",
                                        pipeline_.where, step.line, step.column, step.name));
        resolve_all();
    }

    TemplateScope scope(const json& steps, bool is_dry_run) const {
        return {.input = inputs_, .steps = steps, .item = nullptr, .index = 0, .is_dry_run = is_dry_run};
    }

    /// @returns one call for each item, or the only one
    std::vector<StepCall> calls_of(const PipelineStep& step, TemplateScope where) const {
        if (!step.for_each) return {call_of(step, where, step.name)};
        const json items = resolve_templates(*step.for_each, where, pipeline_.where);
        if (where.is_dry_run && has_template(items)) return {call_of(step, where, step.name + "[…]")};
        if (!items.is_array() || items.size() > kMaxItems)
            throw Error(ErrorKind::kUsage,
                        fmt::format("{}:{}:{}: forEach: expected a list of {} items at most", pipeline_.where,
                                    step.for_each->line, step.for_each->column, kMaxItems));
        std::vector<StepCall> calls;
        for (where.index = 0; where.index < items.size(); ++where.index) {
            where.item = &items[where.index];
            calls.push_back(call_of(step, where, fmt::format("{}[{}]", step.name, where.index)));
        }
        return calls;
    }

    StepCall call_of(const PipelineStep& step, const TemplateScope& where, std::string key) const {
        StepCall call{.key = std::move(key), .method = step.method, .shell = step.shell, .parameters = {}};
        const json values = resolve_templates(step.params, where, pipeline_.where);
        try {
            call.parameters = step.method == nullptr
                                  ? shell_variables(values)
                                  : check_parameters(*step.method, values,
                                                     {.folder = options_.folder, .keeps_templates = where.is_dry_run});
            if (step.method != nullptr) step.method->steps(call.parameters);
        } catch (const Error& problem) {
            throw Error(problem.kind(), fmt::format("{}:{}:{}: step {}: {}", pipeline_.where, step.line, step.column,
                                                    step.name, problem.what()));
        }
        return call;
    }

    /// What every step would be called with; results that are known beforehand stand for those that are not yet there.
    ordered_json resolve_all() const {
        json known = json::object();
        ordered_json documents = ordered_json::object();
        for (const PipelineStep& step : pipeline_.steps) {
            json promised = json::array();
            ordered_json parameters = ordered_json::array();
            for (const StepCall& call : calls_of(step, scope(known, true))) {
                promised.push_back(call.method == nullptr ? json::object() : call.method->promise(call.parameters));
                parameters.emplace_back(call.parameters);
            }
            const bool is_single = !step.for_each;
            known[step.name] = {{"data", is_single ? promised[0] : promised}};
            documents[step.name] = {{"command", step.method == nullptr ? step.shell : std::string(step.method->name)},
                                    {"params", is_single ? parameters[0] : parameters}};
        }
        return documents;
    }

    bool is_wanted(const PipelineStep& step) const {
        const bool has_failed = exit_code_ != 0;
        return step.condition == StepCondition::kAlways || (step.condition == StepCondition::kFailure) == has_failed;
    }

    void run(const PipelineStep& step, PipelineState& state) {
        if (!is_wanted(step)) return record(step, "skipped", nullptr);
        progress_.note(fmt::format("step {}", step.name));
        ordered_json data = ordered_json::array();
        bool is_kept = true;
        try {
            for (const StepCall& call : calls_of(step, scope(known_, false))) {
                StepOutcome outcome = runner_.run(call, state);
                is_kept = is_kept && outcome.is_kept;
                data.push_back(std::move(outcome.data));
                if (outcome.exit_code != 0) return fail(step, data, outcome.exit_code, "");
            }
        } catch (const Error& problem) {
            const std::string message = problem.what();
            const bool has_place = message.starts_with(pipeline_.where + ":");
            return fail(step, data, static_cast<int>(problem.kind()),
                        has_place ? message
                                  : fmt::format("{}:{}:{}: step {}: {}", pipeline_.where, step.line, step.column,
                                                step.name, message));
        }
        record(step, is_kept && !data.empty() ? "kept" : "done", data);
    }

    void fail(const PipelineStep& step, const ordered_json& data, int exit_code, const std::string& message) {
        record(step, "failed", data.empty() ? ordered_json(nullptr) : data);
        if (!message.empty()) documents_[step.name]["error"] = message;
        if (!step.stops_on_failure || exit_code_ != 0) {
            if (!message.empty()) progress_.note(message);
            return;
        }
        exit_code_ = exit_code;
        error_message_ = message;
    }

    /// @param data  a list with one element for each item; null: none
    void record(const PipelineStep& step, std::string_view status, const ordered_json& data) {
        ordered_json document{{"status", status}};
        if (!data.is_null()) document["data"] = step.for_each ? data : data.at(0);
        known_[step.name] = document;
        documents_[step.name] = std::move(document);
    }

    PipelineResult finished(const ordered_json& documents) const {
        ordered_json document{{"name", pipeline_.name}, {"passed", exit_code_ == 0}};
        if (options_.dry_run) document["dryRun"] = true;
        document["steps"] = documents;
        return {.document = std::move(document), .exit_code = exit_code_, .error_message = error_message_};
    }

    const PipelineOptions& options_;
    Pipeline pipeline_;
    json inputs_;
    StepRunner runner_;
    Progress& progress_;
    json known_ = json::object();  ///< what templates find of the steps
    ordered_json documents_ = ordered_json::object();
    int exit_code_ = 0;
    std::string error_message_;
};

}  // namespace

PipelineResult run_pipeline(const PipelineOptions& options, Progress& progress) {
    return PipelineRun(options, progress).execute();
}

}  // namespace plasticity
