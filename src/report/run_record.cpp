#include "report/run_record.h"

#include <fmt/format.h>

#include "core/error.h"
#include "io/gguf_reader.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

template <typename Artifact, typename Load>
std::optional<Artifact> load_if_there(const fs::path& path, const Load& load) {
    return fs::exists(path) ? std::optional<Artifact>(load(path)) : std::nullopt;
}

}  // namespace

std::string RunRecord::model_name() const {
    return recipe.base_model.empty() ? metadata.text_or("general.name", "a model without a name") : recipe.base_model;
}

const QualityPanel* RunRecord::quality() const {
    if (report) return report->quality ? &*report->quality : nullptr;
    const FrontierPoint* point = frontier ? frontier->recommended_point() : nullptr;
    return point != nullptr ? &point->quality : nullptr;
}

RunRecord load_run_record(const fs::path& folder) {
    const fs::path file = folder / "model.gguf";
    if (!fs::exists(file))
        throw Error(ErrorKind::kMissing,
                    fmt::format("report: {} holds no model.gguf; expected a folder that plasticity run or tune wrote",
                                folder.string()));
    const GgufReader reader(file);
    std::optional<Recipe> recipe = embedded_recipe(reader.metadata(), file);
    if (!recipe)
        throw Error(ErrorKind::kMalformed,
                    fmt::format("{}: carries no recipe ({}); expected a file that plasticity compressed", file.string(),
                                kRecipeKey));
    RunRecord record{.file_bytes = reader.file().size(), .metadata = reader.metadata(), .recipe = std::move(*recipe)};
    record.scores = load_if_there<GateGradients>(folder / "gate_gradients.json", load_gate_gradients);
    record.report = load_if_there<Report>(folder / "report.json", load_report);
    record.frontier = load_if_there<Frontier>(folder / "frontier.json", load_frontier);
    record.samples = load_if_there<TextSamples>(folder / "samples.json", load_text_samples);
    record.reproduction = load_if_there<Reproduction>(folder / "reproduce.json", load_reproduction);
    return record;
}

}  // namespace plasticity
