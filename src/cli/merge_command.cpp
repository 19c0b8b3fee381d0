#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "api/outputs.h"
#include "artifact/gate_gradients.h"
#include "artifact/statistics.h"
#include "cli/command.h"
#include "core/error.h"
#include "plasticity/merge.h"

namespace plasticity {
namespace {

struct MergeCommand {
    CommonOptions common;
    std::vector<std::filesystem::path> scores, statistics;
    std::filesystem::path output, statistics_output;
};

void require_pairs(const MergeCommand& command) {
    if (command.scores.empty() && command.statistics.empty())
        throw Error(ErrorKind::kUsage, "merge: nothing to merge; expected gate_gradients.json files of all slices");
    if (command.scores.empty() != command.output.empty())
        throw Error(ErrorKind::kUsage, "merge: expected gate_gradients.json files together with -o OUT.json");
    if (command.statistics.empty() != command.statistics_output.empty())
        throw Error(ErrorKind::kUsage, "merge: expected --stats IN.gguf... together with --stats-output OUT.gguf");
}

void run_merge(MergeCommand& command) {
    require_pairs(command);
    CommandFiles files{.inputs = command.scores, .outputs = {command.output, command.statistics_output}};
    files.inputs.insert(files.inputs.end(), command.statistics.begin(), command.statistics.end());
    require_outputs(files, command.common.overwrite());

    nlohmann::ordered_json document;
    std::string lines;
    if (!command.statistics.empty()) {
        const Statistics merged = merge_statistics(command.statistics);
        save_statistics(merged, command.statistics_output, command.common.overwrite());
        document["statistics"] = command.statistics_output.string();
        lines = fmt::format("{}: statistics of {} matrices from {} examples in {} slices",
                            command.statistics_output.string(), merged.matrices.size(), merged.chunk_count,
                            command.statistics.size());
    }
    if (!command.scores.empty()) {
        const GateGradients merged = merge_gate_gradients(command.scores);
        save_gate_gradients(merged, command.output, command.common.overwrite());
        document["output"] = command.output.string();
        document["examples"] = merged.num_steps;
        document["tokens"] = merged.num_tokens;
        document["mean_loss"] = merged.mean_loss;
        lines += fmt::format("{}{}: {} examples ({} target tokens) from {} slices, mean loss {:.4f}",
                             lines.empty() ? "" : "\n", command.output.string(), merged.num_steps, merged.num_tokens,
                             command.scores.size(), merged.mean_loss);
    }
    if (command.common.json)
        print_json(document);
    else
        print_line(lines);
}

}  // namespace

void add_merge_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<MergeCommand>();
    CLI::App* app = program.add_subcommand("merge", "Adds up the slices of a scoring run: score --slice i/n");
    app->add_option("scores", command->scores, "gate_gradients.json of every slice, in any order");
    app->add_option("-o,--output", command->output, "gate_gradients.json to write");
    app->add_option("--stats", command->statistics, "stats.gguf of every slice, in any order");
    app->add_option("--stats-output", command->statistics_output, "stats.gguf to write");
    add_common_options(*app, command->common);
    app->callback([command] { run_merge(*command); });
}

}  // namespace plasticity
