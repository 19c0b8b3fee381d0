#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/tune.h"
#include "report/frontier_plot.h"

namespace plasticity {
namespace {

void run_tune(const TuneCommand& command) {
    const auto progress = command.common.progress();
    const Frontier frontier = tune(command, *progress);
    if (command.common.json)
        print_json(nlohmann::ordered_json::parse(frontier_to_json(frontier)));
    else
        print_line(fmt::format("{}\n  files       {}: model.gguf, report.html, frontier.json, frontier.svg",
                               frontier_table(frontier), command.folder.string()));
}

}  // namespace

void add_tune_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<TuneCommand>();
    CLI::App* app = program.add_subcommand(
        "tune",
        "Finds the file to take: scores once, measures a file of every size that fits the device, keeps the best one; "
        "resumable");
    app->add_option("model", command->model, kModelHelp)->required();
    add_scoring_options(*app, command->scoring);
    app->add_option("--device", command->device, "As plan takes it: 16gb, 32gb, 24gb-vram, <n>gb, auto, or JSON")
        ->required();
    app->add_option("-o,--output", command->folder, "Folder for everything that is made")->required();
    app->add_option("--context", command->context, "Tokens the KV cache is budgeted for; 0: 4096 at most")
        ->check(CLI::NonNegativeNumber);
    app->add_option("--kv-type", command->kv_type, "f16, q8_0 or q4_0")->capture_default_str();
    app->add_option("--floor", command->floor, "No matrix gets fewer bits than this type has")->capture_default_str();
    app->add_option("--bits", command->bits, "Bits per weight of the files to try, beside what the device just holds")
        ->check(CLI::Range(1.0, 16.0))
        ->capture_default_str();
    app->add_option("--variants", command->variants,
                    "optimal (types alone), pruned (heads too, where that is predicted to pay), tiers")
        ->check(CLI::IsMember({"optimal", "pruned", "tiers"}))
        ->capture_default_str();
    app->add_option("--max-kl", command->max_kl,
                    "Mean divergence from the base that is good enough, nats per token: the smallest such file is "
                    "recommended")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app->add_option("--chunks", command->eval_chunks, "Chunks of 512 held-out tokens to measure on; 0: all")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    add_backend_options(*app, command->backend);
    add_common_options(*app, command->common);
    app->callback([command] { run_tune(*command); });
}

}  // namespace plasticity
