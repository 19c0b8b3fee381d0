#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "api/stage_files.h"
#include "api/stage_results.h"
#include "artifact/gate_gradients.h"
#include "cli/command.h"
#include "cli/fine_tune_options.h"
#include "cli/scoring.h"
#include "core/mpi_ranks.h"
#include "core/units.h"
#include "io/partial_file.h"
#include "plasticity/score.h"
#include "report/score_map.h"

namespace plasticity {
namespace {

struct ScoreCommand {
    CommonOptions common;
    ScoreOptions options;
    std::filesystem::path output;
    std::optional<std::filesystem::path> plot;
    std::string memory;
    FineTuneArguments fine_tune;
};

void report(const ScoreCommand& command, const GateGradients& gradients) {
    save_gate_gradients(gradients, command.output, command.common.overwrite());
    if (command.plot)
        write_text_file(*command.plot, score_map_svg({{command.output.filename().string(), gradients}}),
                        command.common.overwrite());
    if (command.common.json)
        print_json(score_result_json(gradients, command.output, command.options.save_adapter));
    else
        print_line(fmt::format("{}: {} layers × {} heads from {} examples ({} target tokens), mean loss {:.4f}",
                               command.output.string(), gradients.absolute_sums.size(), gradients.num_heads,
                               gradients.num_steps, gradients.num_tokens, gradients.mean_loss));
}

/// Each process has sums of its own.
std::filesystem::path checkpoint_of(const std::filesystem::path& output, const Ranks& ranks) {
    return output.string() + ".checkpoint" + (ranks.is_first() ? "" : fmt::format(".rank{}", ranks.rank()));
}

void run_score(ScoreCommand& command) {
    command.options.threads = command.common.threads;
    command.options.seed = command.common.seed;
    command.options.overwrite = command.common.force;
    command.options.fine_tune = command.fine_tune.resolve();
    if (!command.memory.empty()) command.options.memory_bytes = parse_bytes(command.memory);
    command.options.spill_folder = folder_of(command.output);
    CommandFiles files = files_of(command.options, command.output);
    files.outputs.push_back(command.plot.value_or(""));
    Ranks& ranks = started_ranks();
    command.options.ranks = &ranks;
    if (ranks.is_first()) require_outputs(files, command.common.overwrite());
    if (command.options.checkpoint_every > 0) command.options.checkpoint = checkpoint_of(command.output, ranks);
    const auto progress = ranks.is_first() ? command.common.progress() : make_progress(ProgressStyle::kQuiet);
    const GateGradients gradients = score(command.options, *progress);
    if (ranks.is_first()) report(command, gradients);
    if (command.options.checkpoint)
        std::filesystem::remove(*command.options.checkpoint);  // nothing is left to continue
}

}  // namespace

void add_score_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<ScoreCommand>();
    CLI::App* app = program.add_subcommand("score", "Which heads does the task use? Writes gate_gradients.json");
    app->add_option("model", command->options.model, kModelHelp)->required();
    app->add_option("--data", command->options.data, "Text, source trees or JSONL of the task")->required();
    app->add_option("-o,--output", command->output, "gate_gradients.json to write")->required();
    app->add_option("--stats", command->options.statistics,
                    "Also write activation statistics (GGUF, as llama-imatrix writes them) and curvature");
    app->add_option("--curvature-every", command->options.curvature_every,
                    "With --stats: backpropagate one example of so many once more, from labels drawn from the model "
                    "itself; 0: none. Policy optimal needs it")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    CLI::Option* gram =
        app->add_option("--gram", command->options.gram,
                        "Also write Gram matrices (GGUF) of what every matrix reads; for compress --gram. Large");
    app->add_option("--gram-tokens", command->options.gram_tokens, kGramTokensHelp)
        ->needs(gram)
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app->add_option("--plot", command->plot, "Also draw the scores as a heat map of layers and heads (SVG)");
    app->add_option("--slice", command->options.slice,
                    "i/n: score the i-th of n consecutive parts of the examples; plasticity merge adds all up");
    app->add_option("--tokens", command->options.max_tokens, "Stop after so many tokens; 0: all of the data")
        ->check(CLI::NonNegativeNumber);
    app->add_option("--chunk", command->options.chunk, "Tokens an example of plain text holds")->capture_default_str();
    app->add_flag("--resume", command->options.resume, "Continue a run that ended early, to the same result");
    app->add_option("--checkpoint-every", command->options.checkpoint_every,
                    "Examples between two checkpoints, beside the output; 0: none")
        ->capture_default_str()
        ->check(CLI::NonNegativeNumber);
    app->add_option("--memory", command->memory,
                    "The most memory to take, as 4GB: where the weights do not fit in it, they are read from the "
                    "model a layer at a time; activations that do not fit lie in a temporary file beside the output. "
                    "Without: what the machine has free");
    app->add_option("--precision", command->options.precision,
                    "Of weights: f32, f16, bf16 or auto (bf16 where the CPU has instructions for it, else f16)")
        ->capture_default_str();
    add_backend_options(*app, command->options.backend);
    add_fine_tune_options(*app, command->fine_tune);
    CLI::Option* adapter = app->add_option("--adapter", command->options.adapter,
                                           "PEFT folder: train on from this adapter, or without --epochs score with it")
                               ->group("Fine-tuning");
    for (const char* of_new : {"--rank", "--alpha", "--lora-targets"}) app->get_option(of_new)->excludes(adapter);
    app->add_option("--save-adapter", command->options.save_adapter,
                    "Folder to write the adapter to: for peft, and adapter.gguf for llama.cpp")
        ->group("Fine-tuning");
    app->get_option("--no-lora")->excludes(adapter);
    add_common_options(*app, command->common);
    app->callback([command] { run_score(*command); });
}

}  // namespace plasticity
