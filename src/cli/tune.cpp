#include "cli/tune.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "api/outputs.h"
#include "artifact/json_text.h"
#include "artifact/recipe.h"
#include "cli/held_out.h"
#include "cli/speed_sample.h"
#include "cli/stage_chain.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/units.h"
#include "engine/evaluate.h"
#include "io/corpus.h"
#include "io/file_identity.h"
#include "io/strict_json.h"
#include "model/model.h"
#include "plasticity/compress.h"
#include "plasticity/plan.h"
#include "report/frontier_plot.h"
#include "report/report_page.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

constexpr std::int32_t kEvaluationContext = 512;
constexpr std::uint64_t kMaxPointBytes = std::uint64_t{1} << 20;

/// One plan of the sweep.
struct Candidate {
    std::string variant;
    std::optional<double> bits_per_weight;  ///< nothing: what the device holds

    std::string name() const {
        return bits_per_weight ? fmt::format("{} {:g}", variant, *bits_per_weight) : variant + " fit";
    }
    std::string file_name() const {
        return bits_per_weight ? fmt::format("{}-{:g}", variant, *bits_per_weight) : variant + "-fit";
    }
};

/// The base and the text, loaded when the first point is measured.
class Yardstick {
public:
    Yardstick(const fs::path& base, const std::vector<fs::path>& held_out, const TuneCommand& command)
        : base_(open_model(base)), threads_(command.common.threads), backend_(command.backend) {
        const Tokenizer tokenizer(base_->tokenizer());
        const std::int32_t context = std::min(kEvaluationContext, base_->architecture().context_length);
        text_ = prepare_evaluation(tokenizer, read_plain_text(held_out), context, command.eval_chunks);
    }

    QualityPanel measure(const fs::path& file, Progress& progress) {
        const DecoderOptions options{.context_length = text_.context, .threads = threads_, .backend = backend_};
        if (!decoder_) decoder_.emplace(*base_, options, progress);
        Decoder model(*open_model(file), options, progress);
        return compare(*decoder_, model, text_, progress);
    }

private:
    std::unique_ptr<Model> base_;
    int threads_;
    BackendChoice backend_;
    EvaluationText text_;
    std::optional<Decoder> decoder_;
};

class Tune {
public:
    Tune(const TuneCommand& command, Progress& progress)
        : command_(command),
          progress_(progress),
          model_(locate_model(command.model)),
          device_(parse_device(command.device)),
          data_(split_data(command.scoring.data, command.scoring.eval_data)),
          files_(command.folder),
          state_(command.folder),
          chain_(state_, progress, command.common.force) {
        frontier_.model = model_.filename().string();
        frontier_.device = device_;
        frontier_.max_kl = command.max_kl;
    }

    Frontier execute() {
        require_possible();
        run_scoring({.arguments = command_.scoring,
                     .common = command_.common,
                     .model = model_,
                     .calibration = data_.calibration,
                     .files = files_,
                     .backend = command_.backend},
                    chain_, progress_);
        for (const Candidate& candidate : candidates()) look_at(candidate);
        write_frontier();
        keep_recommended();
        write_text_file(page_file(), report_page(load_run_record(command_.folder)), Overwrite::kReplace);
        return frontier_;
    }

private:
    fs::path points() const { return command_.folder / "points"; }
    fs::path damages() const { return command_.folder / "damages.json"; }
    fs::path output() const { return command_.folder / "model.gguf"; }
    fs::path frontier_file() const { return command_.folder / "frontier.json"; }
    fs::path plot_file() const { return command_.folder / "frontier.svg"; }
    fs::path page_file() const { return command_.folder / "report.html"; }

    /// Whatever could only fail after hours of work fails now.
    void require_possible() const {
        if (data_.held_out.empty())
            throw Error(ErrorKind::kUsage,
                        "tune: no held-out text to measure on; pass --eval-data, or more than one text file");
        make_output_folder(points());
        CommandFiles files{.inputs = command_.scoring.texts(),
                           .outputs = {files_.scores, files_.statistics, files_.gram, damages(), output(),
                                       frontier_file(), plot_file(), page_file(), command_.folder / "run.json"}};
        files.inputs.push_back(model_);
        require_outputs(files, Overwrite::kReplace);
        for (const Candidate& candidate : candidates()) check_plan_options(plan_options(candidate));
    }

    std::vector<Candidate> candidates() const {
        std::vector<Candidate> all;
        for (const std::string& variant : command_.variants) {
            all.push_back({variant, std::nullopt});
            for (const double bits : command_.bits) all.push_back({variant, bits});
        }
        return all;
    }

    PlanOptions plan_options(const Candidate& candidate) const {
        PlanOptions options{.model = model_, .scores = files_.scores, .statistics = files_.statistics};
        if (candidate.bits_per_weight)
            options.target_bits_per_weight = candidate.bits_per_weight;
        else
            options.device = command_.device;
        options.context_length = command_.context;
        options.kv_type = command_.kv_type;
        options.policy = candidate.variant == "tiers" ? "tiers" : "optimal";
        options.prune.kind = candidate.variant == "optimal" ? PruneRequest::Kind::kOff : PruneRequest::Kind::kAuto;
        options.floor_type = command_.floor;
        options.damages = damages();
        options.threads = command_.common.threads;
        return options;
    }

    /// Everything that the plan and what is measured of it depend on, beside the scores.
    std::vector<std::string> inputs_of(const Candidate& candidate) const {
        return {fmt::format("{} {} {} {} {} {} {}", candidate.name(), command_.context, command_.kv_type,
                            command_.floor, device_.effective_bytes(), command_.eval_chunks, command_.backend.device),
                identity_of_files(data_.held_out)};
    }

    void look_at(const Candidate& candidate) {
        const fs::path recipe_file = points() / (candidate.file_name() + ".recipe.json");
        const fs::path result_file = points() / (candidate.file_name() + ".json");
        try {
            StageChain chain = chain_;  // points do not depend on each other
            chain.run("plan " + candidate.name(), inputs_of(candidate), {recipe_file},
                      [&] { save_recipe(plan(plan_options(candidate), progress_), recipe_file, Overwrite::kReplace); });
            const Recipe recipe = load_recipe(recipe_file);
            if (const std::optional<std::string> reason = reason_to_skip(recipe)) {
                frontier_.skipped.push_back({candidate.name(), *reason});
                return;
            }
            frontier_.context_length = recipe.context_length;
            chain.run("measure " + candidate.name(), {}, {result_file}, [&] {
                const FrontierPoint point = measured(candidate, recipe, recipe_file);
                write_text_file(result_file, json_text(frontier_point_json(point)), Overwrite::kReplace);
            });
            recipes_.push_back(recipe);
            frontier_.points.push_back(read_point(result_file));
            write_frontier();
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::kInfeasible) throw;
            frontier_.skipped.push_back({candidate.name(), error.what()});
        }
    }

    std::optional<std::string> reason_to_skip(const Recipe& recipe) const {
        if (recipe.budget.total_bytes > device_.effective_bytes())
            return fmt::format("{} at run time; the device holds {}", format_bytes(recipe.budget.total_bytes),
                               format_bytes(device_.effective_bytes()));
        for (std::size_t i = 0; i < recipes_.size(); ++i)
            if (recipes_[i].topology.layers == recipe.topology.layers && same_types(recipes_[i], recipe))
                return fmt::format("the same file as {}", frontier_.points[i].name);
        return std::nullopt;
    }

    static bool same_types(const Recipe& a, const Recipe& b) {
        return std::ranges::equal(a.tensor_quant_map, b.tensor_quant_map,
                                  [](const QuantAssignment& x, const QuantAssignment& y) {
                                      return x.pattern == y.pattern && x.type == y.type;
                                  });
    }

    CompressOptions compress_options(const fs::path& target) const {
        CompressOptions options{.model = model_, .output = target, .statistics = files_.statistics};
        if (command_.scoring.with_gram) options.gram = files_.gram;
        options.overwrite = true;
        options.threads = command_.common.threads;
        return options;
    }

    FrontierPoint measured(const Candidate& candidate, const Recipe& recipe, const fs::path& recipe_file) {
        const fs::path file = points() / (candidate.file_name() + ".gguf");
        compress(compress_options(file), recipe, progress_);
        if (!yardstick_) yardstick_.emplace(model_, data_.held_out, command_);
        FrontierPoint point{.name = candidate.name(),
                            .variant = candidate.variant,
                            .recipe = fs::relative(recipe_file, command_.folder).string(),
                            .file_bytes = fs::file_size(file),
                            .run_time_bytes = recipe.budget.total_bytes,
                            .parameter_reduction = recipe.topology.parameter_reduction,
                            .predicted_kl = recipe.predicted_kl,
                            .quality = yardstick_->measure(file, progress_)};
        const InferResult sample = speed_sample(file, "The", command_.common, command_.backend, progress_);
        point.generated_tokens_per_second = sample.generated_tokens_per_second();
        fs::remove(file);
        return point;
    }

    static FrontierPoint read_point(const fs::path& file) {
        return read_frontier_point(parse_strict_json(read_text_file(file, kMaxPointBytes), file.string()),
                                   file.string());
    }

    void write_frontier() {
        recommend(frontier_);
        save_frontier(frontier_, frontier_file(), Overwrite::kReplace);
        if (!frontier_.points.empty()) write_text_file(plot_file(), frontier_svg(frontier_), Overwrite::kReplace);
    }

    void keep_recommended() {
        const FrontierPoint* chosen = frontier_.recommended_point();
        if (chosen == nullptr)
            throw Error(ErrorKind::kInfeasible,
                        fmt::format("tune: no plan fits {}: {}", device_.label, frontier_.skipped.back().reason));
        const fs::path recipe = command_.folder / chosen->recipe;
        chain_.run("compress", {sha256_of_file(recipe)}, {output()},
                   [&] { compress(compress_options(output()), load_recipe(recipe), progress_); });
    }

    const TuneCommand& command_;
    Progress& progress_;
    fs::path model_;
    Device device_;
    DataSplit data_;
    ScoringFiles files_;
    RunState state_;
    StageChain chain_;
    Frontier frontier_;
    std::vector<Recipe> recipes_;  ///< of frontier_.points
    std::optional<Yardstick> yardstick_;
};

}  // namespace

Frontier tune(const TuneCommand& command, Progress& progress) {
    return Tune(command, progress).execute();
}

}  // namespace plasticity
