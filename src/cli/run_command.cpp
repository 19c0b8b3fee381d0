#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/run.h"
#include "cli/run_reproduction.h"
#include "core/error.h"
#include "model/model.h"
#include "plasticity/plan.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

/// @param command  outlives the app
void add_run_options(CLI::App& app, RunCommand& command) {
    app.add_option("model", command.arguments.options.model, kModelHelp);
    app.add_option("-o,--output", command.folder, "Folder for everything that is made");
    add_scoring_options(app, command.scoring);
    app.get_option("--data")->required(false);  // a run that is done again has its own
    app.add_option(
        "--reproduce", command.reproduce,
        "reproduce.json of a run to do again with its options, on inputs that must be the same: exit 7 where "
        "the output is not. MODEL and data where they lie elsewhere now");
    add_fine_tune_options(app, command.fine_tune);
    app.add_option("--chunks", command.eval_chunks, "Chunks of held-out text to measure; 0: all")
        ->capture_default_str();
    app.add_option("-p,--prompt", command.prompt, "What the result is tried on")->capture_default_str();
    add_plan_options(app, command.arguments);
    add_backend_options(app, command.backend);
    add_common_options(app, command.common);
    command.parsed = &app;
}

/// The run that is to be done again: its options, and of what lies in files whatever was not named anew.
RunCommand as_recorded(const RunCommand& typed) {
    if (const auto given = given_options(*typed.parsed); !given.empty())
        throw Error(ErrorKind::kUsage,
                    fmt::format("run: {} beside --reproduce, which takes options from its file; leave one of both out",
                                given.front().first));
    RunCommand again;
    again.wanted = load_reproduction(*typed.reproduce);
    again.replayed = std::make_shared<CLI::App>();
    add_run_options(*again.replayed, again);
    replay_options(*again.wanted, *again.replayed, typed.reproduce->string());
    const std::uint32_t seed = again.common.seed;
    again.common = typed.common;
    again.common.seed = seed;
    again.folder = typed.folder;
    again.reproduce = typed.reproduce;
    const fs::path& model = typed.arguments.options.model;
    again.arguments.options.model = model.empty() ? fs::path(again.wanted->model) : model;
    again.scoring.data = typed.scoring.data;
    again.scoring.eval_data = typed.scoring.eval_data;
    if (typed.scoring.data.empty()) again.scoring.data.assign(again.wanted->data.begin(), again.wanted->data.end());
    if (typed.scoring.eval_data.empty())
        again.scoring.eval_data.assign(again.wanted->eval_data.begin(), again.wanted->eval_data.end());
    return again;
}

void require_given(const RunCommand& command) {
    std::string_view missing;
    if (command.folder.empty()) missing = "-o FOLDER";
    if (command.scoring.data.empty()) missing = "--data PATH";
    if (command.arguments.options.model.empty()) missing = "MODEL";
    if (!missing.empty())
        throw Error(ErrorKind::kUsage,
                    fmt::format("run: {} is missing; expected plasticity run MODEL --data PATH... -o FOLDER", missing));
}

void run_all(RunCommand& command, CommandResult& result) {
    if (command.reproduce) command = as_recorded(command);
    require_given(command);
    command.typed_model = command.arguments.options.model.string();
    command.arguments.resolve();  // what is wrong with the request or the model comes before hours of work
    command.arguments.options.model = locate_model(command.arguments.options.model);  // one snapshot for all stages
    check_plan_options(command.arguments.resolve());
    const RunSummary summary = execute_run(command);
    if (command.common.json)
        print_json(summary_json(summary));
    else
        print_line(summary_text(summary));
    if (!summary.succeeded()) result.exit_code = kVerificationFailed;
}

}  // namespace

void add_run_command(CLI::App& program, CommandResult& result) {
    auto command = std::make_shared<RunCommand>();
    CLI::App* app = program.add_subcommand("run", "All five stages: score, plan, compress, verify, infer; resumable");
    add_run_options(*app, *command);
    app->callback([command, &result] { run_all(*command, result); });
}

}  // namespace plasticity
