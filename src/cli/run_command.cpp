#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "artifact/gate_gradients.h"
#include "artifact/recipe.h"
#include "artifact/report.h"
#include "cli/command.h"
#include "cli/held_out.h"
#include "cli/outputs.h"
#include "cli/plan_options.h"
#include "cli/run_state.h"
#include "cli/run_summary.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/version.h"
#include "model/model.h"
#include "plasticity/compress.h"
#include "plasticity/infer.h"
#include "plasticity/plan.h"
#include "plasticity/score.h"
#include "plasticity/verify.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

struct RunCommand {
    CommonOptions common;
    PlanArguments arguments;
    std::vector<fs::path> data;
    std::vector<fs::path> eval_data;
    std::int64_t tokens = 0;
    std::int32_t chunk = 512;
    std::string precision = "auto";
    std::int32_t eval_chunks = 8;
    bool with_gram = false;
    BackendChoice backend;
    std::string prompt = "def is_prime(n):";
    fs::path folder;
};

constexpr std::int32_t kSpeedTokens = 48;

/// The five stages over files in one folder. Every stage says what it was made from; a stage whose inputs are as they
/// were is not repeated.
class Run {
public:
    explicit Run(RunCommand& command)
        : command_(command),
          state_(command.folder),
          progress_(command.common.progress()),
          data_(split_data(command.data, command.eval_data)),
          identity_(identity_of_files({command.arguments.options.model})) {}

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
    fs::path scores() const { return command_.folder / "gate_gradients.json"; }
    fs::path statistics() const { return command_.folder / "stats.gguf"; }
    fs::path gram() const { return command_.folder / "gram.gguf"; }
    fs::path recipe() const { return command_.folder / "recipe.json"; }
    fs::path output() const { return command_.folder / "model.gguf"; }
    fs::path report() const { return command_.folder / "report.json"; }
    const fs::path& model() const { return command_.arguments.options.model; }

    /// Whatever could only fail after hours of scoring fails now.
    void require_room_for_outputs() const {
        std::error_code failure;
        fs::create_directories(command_.folder, failure);
        if (failure)
            throw Error(ErrorKind::kIo,
                        fmt::format("{}: cannot make this folder: {}", command_.folder.string(), failure.message()));
        CommandFiles files{
            .inputs = command_.data,
            .outputs = {scores(), statistics(), gram(), recipe(), output(), report(), command_.folder / "run.json"}};
        files.inputs.insert(files.inputs.end(), command_.eval_data.begin(), command_.eval_data.end());
        files.inputs.push_back(model());
        require_outputs(files, Overwrite::kReplace);
    }

    /// Runs `work` unless the stage was finished from the same inputs. The fingerprint chains to the stages before.
    template <typename Work>
    void stage(const std::string& name, const std::vector<std::string>& inputs, const std::vector<fs::path>& outputs,
               const Work& work) {
        std::vector<std::string> parts{kVersion, chain_};
        parts.insert(parts.end(), inputs.begin(), inputs.end());
        chain_ = fingerprint(parts);
        if (!command_.common.force && !repeat_ && state_.is_done(name, chain_, outputs)) {
            progress_->note(fmt::format("{}: done before, inputs unchanged", name));
            return;
        }
        repeat_ = true;
        work();
        state_.finish(name, chain_);
    }

    void score_stage() {
        const std::vector<std::string> inputs{
            identity_, identity_of_files(data_.calibration),
            fmt::format("{} {} {} {}{}", command_.tokens, command_.chunk, command_.precision, command_.common.seed,
                        command_.with_gram ? " gram" : "")};
        std::vector<fs::path> outputs{scores(), statistics()};
        if (command_.with_gram) outputs.push_back(gram());
        stage("score", inputs, outputs, [&] {
            const fs::path checkpoint = scores().string() + ".checkpoint";
            ScoreOptions options{.model = model(),
                                 .data = data_.calibration,
                                 .statistics = statistics(),
                                 .max_tokens = command_.tokens,
                                 .chunk = command_.chunk,
                                 .precision = command_.precision,
                                 .seed = command_.common.seed,
                                 .threads = command_.common.threads,
                                 .backend = command_.backend,
                                 .overwrite = true};
            if (command_.with_gram) {
                options.gram = gram();
                options.curvature_every = 1;  // Gram matrices of thousands of channels need every token there is
            } else {
                options.checkpoint = checkpoint;
                options.resume = !command_.common.force;
            }
            const GateGradients gradients = score(options, *progress_);
            save_gate_gradients(gradients, scores(), Overwrite::kReplace);
            fs::remove(checkpoint);
        });
    }

    void plan_stage() {
        PlanOptions options = command_.arguments.resolve();
        options.scores = scores();
        options.statistics = statistics();
        options.threads = command_.common.threads;
        stage("plan", {command_.arguments.text()}, {recipe()},
              [&] { save_recipe(plan(options, *progress_), recipe(), Overwrite::kReplace); });
    }

    void compress_stage() {
        stage("compress", {}, {output()}, [&] {
            output_sha256_ = compress({.model = model(),
                                       .output = output(),
                                       .statistics = statistics(),
                                       .gram = command_.with_gram ? std::optional(gram()) : std::nullopt,
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
        summary.sample = infer({.model = output(),
                                .prompt = command_.prompt,
                                .max_tokens = kSpeedTokens,
                                .temperature = 0,
                                .threads = command_.common.threads,
                                .backend = command_.backend},
                               {}, *progress_);
    }

    RunCommand& command_;
    RunState state_;
    std::unique_ptr<Progress> progress_;
    DataSplit data_;
    std::string identity_;
    std::string chain_;
    std::string output_sha256_;
    bool repeat_ = false;  ///< a stage ran, so everything after it runs too
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
    app->add_option("--data", command->data, "Text, source trees or JSONL of the task")->required();
    app->add_option("--eval-data", command->eval_data,
                    "Held-out text to measure on; default: every fifth file of --data, which then is not scored");
    app->add_option("-o,--output", command->folder, "Folder for everything that is made")->required();
    app->add_option("--tokens", command->tokens, "Score so many tokens; 0: all of the data")
        ->check(CLI::NonNegativeNumber);
    app->add_option("--chunk", command->chunk, "Tokens an example of plain text holds")->capture_default_str();
    app->add_option("--precision", command->precision, "Of weights while scoring")->capture_default_str();
    app->add_flag(
        "--gram", command->with_gram,
        "Keep Gram matrices too, for error feedback and compensation: better at the same bytes, for gigabytes "
        "beside the output and scoring that starts anew when it was interrupted");
    app->add_option("--chunks", command->eval_chunks, "Chunks of held-out text to measure; 0: all")
        ->capture_default_str();
    app->add_option("-p,--prompt", command->prompt, "What the result is tried on")->capture_default_str();
    add_plan_options(*app, command->arguments);
    add_backend_options(*app, command->backend);
    add_common_options(*app, command->common);
    app->callback([command, &result] { run_all(*command, result); });
}

}  // namespace plasticity
