#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "api/outputs.h"
#include "cli/comparing.h"
#include "report/comparison_text.h"

namespace plasticity {
namespace {

void write_all(const Comparison& comparison, const CompareCommand& command) {
    const auto& folder = command.folder;
    const Overwrite overwrite = command.common.overwrite();
    write_text_file(folder / "comparison.json", comparison_to_json(comparison), overwrite);
    write_text_file(folder / "comparison.md", comparison_markdown(comparison), overwrite);
    write_text_file(folder / "comparison.html", comparison_html(comparison), overwrite);
}

void require_room(const CompareCommand& command) {
    make_output_folder(command.folder);
    CommandFiles files{.inputs = command.files, .outputs = {}};
    files.inputs.push_back(command.base);
    files.inputs.insert(files.inputs.end(), command.data.begin(), command.data.end());
    for (const char* name : {"comparison.json", "comparison.md", "comparison.html"})
        files.outputs.push_back(command.folder / name);
    require_outputs(files, command.common.overwrite());
}

void run_compare(const CompareCommand& command) {
    const auto progress = command.common.progress();
    if (!command.dry_run) require_room(command);
    const Comparison comparison = compare_files(command, *progress);
    if (!command.dry_run) write_all(comparison, command);
    if (command.common.json)
        print_json(nlohmann::ordered_json::parse(comparison_to_json(comparison)));
    else
        print_line(comparison_text(comparison));
}

}  // namespace

void add_bench_compare(CLI::App& bench) {
    auto command = std::make_shared<CompareCommand>();
    CLI::App* app = bench.add_subcommand(
        "compare", "Quality, speed and memory of files beside their base: a table, as JSON, Markdown and HTML");
    app->add_option("base", command->base, std::string("The model they were made from: ") + kModelHelp)->required();
    app->add_option("files", command->files, "Files to compare")->required();
    app->add_option("--data", command->data, "Held-out text to measure quality on")->required();
    app->add_option("-o,--output", command->folder, "Folder for comparison.json, .md and .html")->required();
    app->add_option("-c,--context", command->context, "Tokens a chunk holds")->capture_default_str();
    app->add_option("--chunks", command->chunks, "Chunks to measure; 0: all of the text")
        ->capture_default_str()
        ->check(CLI::NonNegativeNumber);
    app->add_option("-p,--n-prompt", command->prompt_tokens, "Tokens of the prompt; 0: not measured")
        ->capture_default_str()
        ->check(CLI::Range(0, 1 << 24));
    app->add_option("-n,--n-gen", command->generated_tokens, "Tokens to generate; 0: not measured")
        ->capture_default_str()
        ->check(CLI::Range(0, 1 << 24));
    app->add_option("-r,--rounds", command->rounds, "Times that every file is run, by turns")
        ->capture_default_str()
        ->check(CLI::Range(1, 1000));
    app->add_flag("--dry-run", command->dry_run, "Say what would be measured; run and write nothing");
    add_backend_options(*app, command->backend);
    add_common_options(*app, command->common);
    app->callback([command] { run_compare(*command); });
}

}  // namespace plasticity
