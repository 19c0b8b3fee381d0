#include "cli/run.h"

#include <fmt/format.h>

#include "api/outputs.h"
#include "artifact/gate_gradients.h"
#include "artifact/recipe.h"
#include "artifact/report.h"
#include "artifact/text_samples.h"
#include "cli/held_out.h"
#include "cli/run_reproduction.h"
#include "cli/run_state.h"
#include "cli/speed_sample.h"
#include "cli/stage_chain.h"
#include "core/hash.h"
#include "core/version.h"
#include "engine/devices.h"
#include "io/hub_name.h"
#include "plasticity/compress.h"
#include "plasticity/plan.h"
#include "plasticity/verify.h"
#include "report/hub_card.h"
#include "report/modelfile.h"
#include "report/report_page.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

/// The five stages over files in one folder; a stage whose inputs are as they were is not repeated.
class Run {
public:
    explicit Run(const RunCommand& command)
        : command_(command),
          state_(command.folder),
          progress_(command.common.progress()),
          data_(split_data(command.scoring.data, command.scoring.eval_data)),
          files_(command.folder),
          chain_(state_, *progress_, command.common.force) {}

    RunSummary execute() {
        require_room_for_outputs();
        if (command_.wanted)
            require_same_inputs(*command_.wanted, {model(), data_.calibration, data_.held_out}, *progress_);
        if (data_.held_out.empty())
            progress_->note("no held-out text: quality is not measured. Pass --eval-data, or more than one text file");
        score_stage();
        plan_stage();
        compress_stage();
        RunSummary summary = verify_stage();
        infer_stage(summary);
        record_stage(summary);
        publish(summary);
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
    fs::path in_folder(const char* name) const { return command_.folder / name; }
    const fs::path& model() const { return command_.arguments.options.model; }

    /// Whatever could only fail after hours of scoring fails now.
    void require_room_for_outputs() const {
        make_output_folder(command_.folder);
        CommandFiles files{
            .inputs = command_.scoring.texts(),
            .outputs = {files_.scores, files_.statistics, files_.gram, damages(), recipe(), output(), report(),
                        in_folder("run.json"), in_folder("samples.json"), in_folder("reproduce.json")}};
        files.inputs.push_back(model());
        if (command_.reproduce) files.inputs.push_back(*command_.reproduce);
        require_outputs(files, Overwrite::kReplace);
        // Files of these names may be somebody's own, where no run has been.
        const bool is_ours = fs::exists(in_folder("run.json"));
        require_outputs(
            {.inputs = {}, .outputs = {in_folder("report.html"), in_folder("README.md"), in_folder("Modelfile")}},
            is_ours ? Overwrite::kReplace : command_.common.overwrite());
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

    InferResult sample_of(const fs::path& file) {
        return speed_sample(file, command_.prompt, command_.common, command_.backend, *progress_);
    }

    void infer_stage(RunSummary& summary) {
        summary.prompt = command_.prompt;
        summary.sample = sample_of(output());
        TextSamples samples{.backend = summary.sample.backend,
                            .generated_tokens_per_second = summary.sample.generated_tokens_per_second()};
        TextSample sample{.prompt = command_.prompt, .base = {}, .compressed = summary.sample.text};
        if (!data_.held_out.empty()) {  // the base was measured, so it runs here
            const InferResult of_base = sample_of(model());
            sample.base = of_base.text;
            samples.base_generated_tokens_per_second = of_base.generated_tokens_per_second();
        }
        samples.samples.push_back(std::move(sample));
        save_text_samples(samples, in_folder("samples.json"), Overwrite::kReplace);
    }

    /// Those that were given, and the precision that `auto` chose for this machine.
    std::vector<Reproduction::Option> settled_options(const std::string& precision) const {
        std::vector<Reproduction::Option> options = given_options(*command_.parsed);
        std::erase_if(options, [](const auto& option) { return option.first == "--precision"; });
        options.emplace_back("--precision", std::vector{precision});
        return options;
    }

    void record_stage(RunSummary& summary) {
        const ScoreProvenance scored = load_gate_gradients(files_.scores).provenance;
        Reproduction made{.program_version = kVersion,
                          .llama_cpp = kLlamaCpp,
                          .processor = processor_description(),
                          .model = command_.typed_model,
                          .model_files = source_digests(model(), output()),
                          .tokenizer_sha256 = scored.tokenizer_sha256,
                          .data = texts_of(command_.scoring.data),
                          .eval_data = texts_of(command_.scoring.eval_data),
                          .calibration = digests_of(data_.calibration),
                          .held_out = digests_of(data_.held_out),
                          .options = settled_options(scored.precision),
                          .artifacts = digests_of(artifacts()),
                          .output = {output().filename().string(), summary.report.file_bytes, output_sha256_}};
        if (const auto name = parse_hub_name(made.model); name && !fs::exists(made.model))
            made.model_repository = name->repository();
        made.command = typed_command(made);
        save_reproduction(made, in_folder("reproduce.json"), Overwrite::kReplace);
        if (!command_.wanted) return;
        summary.is_reproduction = true;
        summary.difference = difference(*command_.wanted, made).value_or("");
    }

    /// What is made on the way, in that order.
    std::vector<fs::path> artifacts() const {
        std::vector<fs::path> paths{files_.scores, files_.statistics};
        if (command_.scoring.with_gram) paths.push_back(files_.gram);
        if (adapter()) paths.push_back(*adapter() / "adapter_model.safetensors");
        paths.push_back(recipe());
        return paths;
    }

    static std::vector<FileDigest> digests_of(const std::vector<fs::path>& paths) {
        std::vector<FileDigest> digests;
        for (const fs::path& path : paths) digests.push_back(digest_of(path));
        return digests;
    }

    static std::vector<std::string> texts_of(const std::vector<fs::path>& paths) {
        std::vector<std::string> texts;
        for (const fs::path& path : paths) texts.push_back(path.string());
        return texts;
    }

    /// What is for people: the page, and what goes beside the file where it is shared.
    void publish(RunSummary& summary) const {
        const RunRecord record = load_run_record(command_.folder);
        summary.page_path = in_folder("report.html");
        write_text_file(summary.page_path, report_page(record), Overwrite::kReplace);
        write_text_file(in_folder("README.md"), hub_card(record), Overwrite::kReplace);
        const std::optional<std::string> modelfile = ollama_modelfile(record);
        if (modelfile)
            write_text_file(in_folder("Modelfile"), *modelfile, Overwrite::kReplace);
        else
            fs::remove(in_folder("Modelfile"));  // of a run before this, whose file was another
    }

    const RunCommand& command_;
    RunState state_;
    std::unique_ptr<Progress> progress_;
    DataSplit data_;
    ScoringFiles files_;
    StageChain chain_;
    std::string output_sha256_;
};

}  // namespace

RunSummary execute_run(const RunCommand& command) {
    return Run(command).execute();
}

}  // namespace plasticity
