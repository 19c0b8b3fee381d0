#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "api/outputs.h"
#include "cli/command.h"
#include "core/error.h"
#include "core/units.h"
#include "heal/heal.h"

namespace plasticity {
namespace {

struct HealCommand {
    CommonOptions common;
    HealOptions options;
};

nlohmann::ordered_json result_json(const HealResult& result, const HealOptions& options) {
    return {{"output", result.is_better() ? nlohmann::ordered_json(options.output.string()) : nullptr},
            {"held_out_kl_before", result.held_out_before},
            {"held_out_kl_after", result.held_out_after},
            {"steps", result.n_steps},
            {"held_out_examples", result.n_held_out},
            {"tokens", result.n_tokens},
            {"trained_values", result.n_values},
            {"learning_rate", result.learning_rate},
            {"seconds", result.seconds}};
}

std::string result_text(const HealResult& result, const HealOptions& options) {
    const std::string change =
        fmt::format("KL of held-out examples {:.5f}, before {:.5f}; {} steps, {}", result.held_out_after,
                    result.held_out_before, result.n_steps, format_duration(result.seconds));
    if (result.is_better()) return fmt::format("{}: {}", options.output.string(), change);
    return fmt::format("{}: not written; {}. A lower --lr than {:.2g}, or more --tokens, may do",
                       options.output.string(), change, result.learning_rate);
}

void run_heal(HealCommand& command, CommandResult& result) {
    HealOptions& options = command.options;
    options.threads = command.common.threads;
    options.overwrite = command.common.overwrite();
    CommandFiles files{.inputs = options.data, .outputs = {options.output}};
    files.inputs.insert(files.inputs.end(), {options.model, options.base});
    require_outputs(files, options.overwrite);
    const auto progress = command.common.progress();
    const HealResult healed = heal(options, *progress);
    if (command.common.json)
        print_json(result_json(healed, options));
    else
        print_line(result_text(healed, options));
    if (!healed.is_better()) result.exit_code = kVerificationFailed;
}

}  // namespace

void add_heal_command(CLI::App& program, CommandResult& result) {
    auto command = std::make_shared<HealCommand>();
    HealOptions& options = command->options;
    CLI::App* app = program.add_subcommand(
        "heal", "Train norms, biases and row scales of a compressed file towards its base; its size stays");
    app->add_option("model", options.model, "Compressed GGUF file")->required();
    app->add_option("--base", options.base, "What it was compressed from: " + std::string(kModelHelp))->required();
    app->add_option("--data", options.data, "Text to train on: files, folders, JSONL")->required();
    app->add_option("-o,--output", options.output, "GGUF to write, where divergence from the base has fallen")
        ->required();
    app->add_option("--tokens", options.tokens, "Read so many tokens of the data; 0: all of them")
        ->capture_default_str()
        ->check(CLI::NonNegativeNumber);
    app->add_option("--chunk", options.chunk, "Tokens of an example of plain text")->capture_default_str();
    app->add_option("--lr", options.learning_rate, "Learning rate; 0: by the divergence before")->capture_default_str();
    app->add_option("--holdout-every", options.holdout_every,
                    "One example of so many is not trained on, and decides whether the file is written")
        ->capture_default_str();
    add_backend_options(*app, options.backend);
    add_common_options(*app, command->common);
    app->callback([command, &result] { run_heal(*command, result); });
}

}  // namespace plasticity
