#include "cli/scoring.h"

#include <fmt/format.h>

#include "artifact/gate_gradients.h"
#include "io/file_identity.h"
#include "io/partial_file.h"
#include "plasticity/score.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

bool trains(const ScoringStage& stage) {
    return stage.fine_tune != nullptr && stage.fine_tune->resolve().has_value();
}

void score_to_files(const ScoringStage& stage, Progress& progress) {
    const ScoringArguments& arguments = stage.arguments;
    const fs::path checkpoint = stage.files.scores.string() + ".checkpoint";
    ScoreOptions options{.model = stage.model,
                         .data = stage.calibration,
                         .statistics = stage.files.statistics,
                         .max_tokens = arguments.tokens,
                         .gram_tokens = arguments.gram_tokens,
                         .chunk = arguments.chunk,
                         .precision = arguments.precision,
                         .seed = stage.common.seed,
                         .threads = stage.common.threads,
                         .backend = stage.backend,
                         .spill_folder = folder_of(stage.files.scores),
                         .overwrite = true,
                         .checkpoint = checkpoint,
                         .resume = !stage.common.force};
    if (trains(stage)) {
        options.fine_tune = stage.fine_tune->resolve();
        options.save_adapter = stage.files.adapter;
    }
    if (arguments.with_gram) options.gram = stage.files.gram;
    const GateGradients gradients = score(options, progress);
    save_gate_gradients(gradients, stage.files.scores, Overwrite::kReplace);
    fs::remove(checkpoint);
}

}  // namespace

void add_scoring_options(CLI::App& command, ScoringArguments& arguments) {
    command.add_option("--data", arguments.data, "Text, source trees or JSONL of the task")->required();
    command.add_option("--eval-data", arguments.eval_data,
                       "Held-out text to measure on; default: every fifth file of --data, which then is not scored");
    command.add_option("--tokens", arguments.tokens, "Score so many tokens; 0: all of the data")
        ->check(CLI::NonNegativeNumber);
    command.add_option("--chunk", arguments.chunk, "Tokens an example of plain text holds")->capture_default_str();
    command.add_option("--precision", arguments.precision, "Of weights while scoring, as score has it")
        ->capture_default_str();
    CLI::Option* gram = command.add_flag(
        "--gram", arguments.with_gram,
        "Keep Gram matrices too, for error feedback and compensation: better at the same bytes, for gigabytes "
        "beside the output");
    command.add_option("--gram-tokens", arguments.gram_tokens, kGramTokensHelp)
        ->needs(gram)
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
}

std::vector<fs::path> ScoringArguments::texts() const {
    std::vector<fs::path> all = data;
    all.insert(all.end(), eval_data.begin(), eval_data.end());
    return all;
}

ScoringFiles::ScoringFiles(const fs::path& folder)
    : scores(folder / "gate_gradients.json"),
      statistics(folder / "stats.gguf"),
      gram(folder / "gram.gguf"),
      adapter(folder / "adapter") {}

void run_scoring(const ScoringStage& stage, StageChain& chain, Progress& progress) {
    const ScoringArguments& arguments = stage.arguments;
    const std::vector<std::string> inputs{
        identity_of_files({stage.model}), identity_of_files(stage.calibration),
        fmt::format("{} {} {} {}{}", arguments.tokens, arguments.chunk, arguments.precision, stage.common.seed,
                    arguments.with_gram ? fmt::format(" gram {}", arguments.gram_tokens) : ""),
        trains(stage) ? stage.fine_tune->text() : ""};
    std::vector<fs::path> outputs{stage.files.scores, stage.files.statistics};
    if (arguments.with_gram) outputs.push_back(stage.files.gram);
    if (trains(stage)) outputs.push_back(stage.files.adapter);
    chain.run("score", inputs, outputs, [&] { score_to_files(stage, progress); });
}

}  // namespace plasticity
