#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "api/outputs.h"
#include "artifact/recipe.h"
#include "artifact/report.h"
#include "cli/command.h"
#include "cli/fine_tune_options.h"
#include "cli/held_out.h"
#include "cli/plan_options.h"
#include "cli/run_state.h"
#include "cli/run_summary.h"
#include "cli/scoring.h"
#include "cli/speed_sample.h"
#include "cli/stage_chain.h"
#include "core/error.h"
#include "core/hash.h"
#include "model/model.h"
#include "plasticity/compress.h"
#include "plasticity/plan.h"
#include "plasticity/verify.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

struct RunCommand {
    CommonOptions common;
    PlanArguments arguments;
    ScoringArguments scoring;
    std::int32_t eval_chunks = 8;
    BackendChoice backend;
    FineTuneArguments fine_tune;
    std::string prompt = "def is_prime(n):";
    fs::path folder;
};

/// The five stages over files in one folder; a stage whose inputs are as they were is not repeated.
class Run {
public:
    explicit Run(RunCommand& command)
        : command_(command),
          state_(command.folder),
          progress_(command.common.progress()),
          data_(split_data(command.scoring.data, command.scoring.eval_data)),
          files_(command.folder),
          chain_(state_, *progress_, command.common.force) {}

    RunSummary execute() {
        require_room_for_outputs();
        if (data_.held_out.empty())
            progress_->note("no held-out text: quality is not measured. Pass --eval-data, or more than one text file");
        score_stage();
        plan_stage();
        compress_stage();
        RunSummary summary = verify_stage();
        infer_stage(summary);
        return summary;
    }

private:
    fs::path damages() const { return command_.folder / "damages.json"; }
    /// Nothing where the weights stay as they are.
    std::optional<fs::path> adapter() const {
        return command_.fine_tune.resolve() ? std::optional(files_.adapter) : std::nullopt;
    }
    fs::path recipe() const { return command_.folder / "recipe.json"; }
    fs::path output() const { return command_.folder / "model.gguf"; }
    fs::path report() const { return command_.folder / "report.json"; }
    const fs::path& model() const { return command_.arguments.options.model; }

    /// Whatever could only fail after hours of scoring fails now.
    void require_room_for_outputs() const {
        make_output_folder(command_.folder);
        CommandFiles files{.inputs = command_.scoring.texts(),
                           .outputs = {files_.scores, files_.statistics, files_.gram, damages(), recipe(), output(),
                                       report(), command_.folder / "run.json"}};
        files.inputs.push_back(model());
        require_outputs(files, Overwrite::kReplace);
    }

    void score_stage() {
        run_scoring({.arguments = command_.scoring,
                     .common = command_.common,
                     .model = model(),
                     .calibration = data_.calibration,
                     .files = files_,
                     .fine_tune = &command_.fine_tune,
                     .backend = command_.backend},
                    chain_, *progress_);
    }

    void plan_stage() {
        PlanOptions options = command_.arguments.resolve();
        options.scores = files_.scores;
        options.statistics = files_.statistics;
        options.damages = damages();
        options.threads = command_.common.threads;
        chain_.run("plan", {command_.arguments.text()}, {recipe()},
                   [&] { save_recipe(plan(options, *progress_), recipe(), Overwrite::kReplace); });
    }

    void compress_stage() {
        chain_.run("compress", {}, {output()}, [&] {
            output_sha256_ = compress({.model = model(),
                                       .output = output(),
                                       .adapter = adapter(),
                                       .statistics = files_.statistics,
                                       .gram = command_.scoring.with_gram ? std::optional(files_.gram) : std::nullopt,
                                       .overwrite = true,
                                       .threads = command_.common.threads},
                                      load_recipe(recipe()), *progress_)
                                 .sha256;
        });
        if (output_sha256_.empty()) output_sha256_ = sha256_of_file(output());  // made by an earlier run
    }

    RunSummary verify_stage() {
        VerifyOptions options{.model = output(),
                              .chunks = command_.eval_chunks,
                              .threads = command_.common.threads,
                              .backend = command_.backend};
        if (!data_.held_out.empty()) {
            options.base = model();
            options.base_adapter = adapter();
            options.data = data_.held_out;
        }
        // Never skipped: it reads the file as it is now.
        const Report verified = verify(options, *progress_);
        save_report(verified, report(), Overwrite::kReplace);
        return {.recipe = load_recipe(recipe()),
                .report = verified,
                .model = model(),
                .output = output(),
                .output_sha256 = output_sha256_,
                .report_path = report()};
    }

    void infer_stage(RunSummary& summary) {
        summary.prompt = command_.prompt;
        summary.sample = speed_sample(output(), command_.prompt, command_.common, command_.backend, *progress_);
    }

    RunCommand& command_;
    RunState state_;
    std::unique_ptr<Progress> progress_;
    DataSplit data_;
    ScoringFiles files_;
    StageChain chain_;
    std::string output_sha256_;
};

void run_all(RunCommand& command, CommandResult& result) {
    command.arguments.resolve();  // what is wrong with the request or the model comes before hours of work
    command.arguments.options.model = locate_model(command.arguments.options.model);  // one snapshot for all stages
    check_plan_options(command.arguments.resolve());
    const RunSummary summary = Run(command).execute();
    if (command.common.json)
        print_json(summary_json(summary));
    else
        print_line(summary_text(summary));
    if (!summary.report.passed()) result.exit_code = kVerificationFailed;
}

}  // namespace

void add_run_command(CLI::App& program, CommandResult& result) {
    auto command = std::make_shared<RunCommand>();
    CLI::App* app = program.add_subcommand("run", "All five stages: score, plan, compress, verify, infer; resumable");
    app->add_option("model", command->arguments.options.model, kModelHelp)->required();
    app->add_option("-o,--output", command->folder, "Folder for everything that is made")->required();
    add_scoring_options(*app, command->scoring);
    add_fine_tune_options(*app, command->fine_tune);
    app->add_option("--chunks", command->eval_chunks, "Chunks of held-out text to measure; 0: all")
        ->capture_default_str();
    app->add_option("-p,--prompt", command->prompt, "What the result is tried on")->capture_default_str();
    add_plan_options(*app, command->arguments);
    add_backend_options(*app, command->backend);
    add_common_options(*app, command->common);
    app->callback([command, &result] { run_all(*command, result); });
}

}  // namespace plasticity
