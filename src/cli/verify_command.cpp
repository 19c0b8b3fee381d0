#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "api/stage_files.h"
#include "artifact/report.h"
#include "cli/command.h"
#include "core/error.h"
#include "plasticity/verify.h"
#include "report/report_text.h"

namespace plasticity {
namespace {

struct VerifyCommand {
    CommonOptions common;
    VerifyOptions options;
    std::filesystem::path output;
};

void run_verify(VerifyCommand& command, CommandResult& result) {
    command.options.threads = command.common.threads;
    const auto progress = command.common.progress();
    require_outputs(files_of(command.options, command.output), command.common.overwrite());
    const Report report = verify(command.options, *progress);
    if (!command.output.empty()) save_report(report, command.output, command.common.overwrite());
    if (command.common.json)
        print_json(nlohmann::ordered_json::parse(report_to_json(report)));
    else
        print_line(report_text(report));
    if (!report.passed()) result.exit_code = kVerificationFailed;
}

}  // namespace

void add_verify_command(CLI::App& program, CommandResult& result) {
    auto command = std::make_shared<VerifyCommand>();
    VerifyOptions& options = command->options;
    CLI::App* app = program.add_subcommand("verify", "Does the file hold what its recipe says, and how good is it?");
    app->add_option("model", options.model, "GGUF to verify")->required();
    CLI::Option* base = app->add_option("--base", options.base, "The model it was made from: adds KL divergence");
    CLI::Option* data = app->add_option("--data", options.data, "Held-out text to measure on");
    app->add_option("--base-adapter", options.base_adapter,
                    "PEFT folder that compress --adapter merged into that model")
        ->needs(base);
    base->needs(data);
    app->add_option("--thresholds", options.thresholds, "JSON file: what the file must keep to (docs/formats.md)");
    app->add_option("--tasks", options.tasks, "JSONL file: prompts with checkers, of which accuracy is measured");
    CLI::Option* stock = app->add_option("--stock", options.stock,
                                         "Folder of a stock llama.cpp: its llama-perplexity runs the file, too");
    stock->needs(data);
    app->add_option("--device", options.device, "Budget to hold it against; default: the recipe's");
    app->add_option("-c,--context", options.context, "Tokens a chunk holds")->capture_default_str();
    app->add_option("--chunks", options.chunks, "Chunks to measure; 0: all of the text")->capture_default_str();
    app->add_option("-o,--output", command->output, "report.json to write");
    add_backend_options(*app, options.backend);
    add_common_options(*app, command->common);
    app->callback([command, &result] { run_verify(*command, result); });
}

}  // namespace plasticity
