#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "api/stage_files.h"
#include "api/stage_results.h"
#include "artifact/recipe.h"
#include "cli/command.h"
#include "cli/plan_options.h"
#include "core/error.h"
#include "core/units.h"
#include "plasticity/compress.h"
#include "plasticity/plan.h"

namespace plasticity {
namespace {

struct CompressCommand {
    CommonOptions common;
    CompressOptions options;
    PlanArguments arguments;
    std::filesystem::path recipe;
    std::string gram_memory;
};

Recipe recipe_for(const CompressCommand& command, Progress& progress) {
    if (!command.recipe.empty()) return load_recipe(command.recipe);
    if (command.arguments.options.scores.empty())
        throw Error(ErrorKind::kUsage, "compress: neither --recipe nor --scores; expected one of them");
    PlanOptions options = command.arguments.resolve();
    options.model = command.options.model;
    options.statistics = command.options.statistics;
    options.gram = command.options.gram;
    options.gram_memory_bytes = command.options.gram_memory_bytes;
    options.threads = command.common.threads;
    return plan(options, progress);
}

void run_compress(CompressCommand& command) {
    command.options.threads = command.common.threads;
    command.options.overwrite = command.common.force;
    if (!command.gram_memory.empty()) command.options.gram_memory_bytes = parse_bytes(command.gram_memory);
    const auto progress = command.common.progress();
    if (!command.options.dry_run)
        require_outputs(files_of(command.options, command.recipe, command.arguments.options.scores),
                        command.common.overwrite());
    const Recipe recipe = recipe_for(command, *progress);
    const CompressResult done = compress(command.options, recipe, *progress);
    const double ratio = compression_ratio(done);
    if (command.common.json)
        print_json(compress_result_json(done, command.options));
    else if (command.options.dry_run)
        print_line(fmt::format("{}: would be {} bytes ({}), {:.2f} times smaller", command.options.output.string(),
                               done.file_bytes, format_bytes(done.file_bytes), ratio));
    else
        print_line(fmt::format("{}: {} bytes ({}), {:.2f} times smaller, {}", command.options.output.string(),
                               done.file_bytes, format_bytes(done.file_bytes), ratio, format_duration(done.seconds)));
}

}  // namespace

void add_compress_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<CompressCommand>();
    CompressOptions& options = command->options;
    CLI::App* app = program.add_subcommand("compress", "Slice, quantise and write one GGUF in a stream");
    app->add_option("model", options.model, kModelHelp)->required();
    CLI::Option* recipe = app->add_option("--recipe", command->recipe, "recipe.json of plan");
    app->add_option("--scores", command->arguments.options.scores, "Plan on the way from this gate_gradients.json")
        ->excludes(recipe);
    app->add_option("-o,--output", options.output, "GGUF to write")->required();
    app->add_option("--stats,--imatrix", options.statistics,
                    "Importance of channels: from score, or from llama-imatrix");
    app->add_option("--adapter", options.adapter,
                    "PEFT folder of score --save-adapter: merged into the weights before anything else");
    CLI::Option* gram = app->add_option(
        "--gram", options.gram,
        "Gram matrices of score --gram: rounding errors are made good by later columns, and what stays of the "
        "attention outputs takes over what pruned heads did");
    app->add_option("--gram-memory", command->gram_memory, kGramMemoryHelp)->needs(gram);
    app->add_flag("--dry-run", options.dry_run, "Say how large the file would be; write nothing");
    app->add_flag("!--no-tokenizer", options.with_tokenizer, "Leave the tokenizer out");
    add_plan_options(*app, command->arguments);
    add_common_options(*app, command->common);
    app->callback([command] { run_compress(*command); });
}

}  // namespace plasticity
