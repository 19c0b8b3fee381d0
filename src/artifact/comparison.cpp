#include "artifact/comparison.h"

#include <nlohmann/json.hpp>

#include "artifact/json_text.h"

namespace plasticity {
namespace {

using Json = nlohmann::ordered_json;

Json series_json(const MeasuredSeries& series) {
    Json json;
    json["median"] = series.median();
    json["spread"] = series.spread();
    json["runs"] = series.runs;
    return json;
}

Json running_json(const MeasuredRunning& running) {
    Json json;
    if (!running.prompt.runs.empty()) json["promptTokensPerSecond"] = series_json(running.prompt);
    if (!running.generation.runs.empty()) json["generatedTokensPerSecond"] = series_json(running.generation);
    json["loadSeconds"] = series_json(running.load);
    json["peakResidentBytes"] = running.peak_resident_bytes;
    json["weightBytes"] = running.weight_bytes;
    json["kvCacheBytes"] = running.cache_bytes;
    json["computeBytes"] = running.compute_bytes;
    return json;
}

Json settings_json(const ComparisonSettings& settings) {
    Json json;
    json["data"] = settings.data;
    json["context"] = settings.context;
    json["chunks"] = settings.chunks;
    json["promptTokens"] = settings.prompt_tokens;
    json["generatedTokens"] = settings.generated_tokens;
    json["rounds"] = settings.rounds;
    json["threads"] = settings.threads;
    return json;
}

}  // namespace

std::string comparison_to_json(const Comparison& comparison) {
    Json json;
    json["schemaVersion"] = Comparison::kSchemaVersion;
    json["machine"] = machine_json(comparison.machine);
    json["settings"] = settings_json(comparison.settings);
    json["files"] = Json::array();
    for (const ComparedFile& file : comparison.files) {
        Json item;
        item["path"] = file.path;
        item["isBase"] = &file == &comparison.files.front();
        item["architecture"] = file.architecture;
        item["fileBytes"] = file.file_bytes;
        item["bitsPerWeight"] = file.bits_per_weight;
        if (file.quality) item["quality"] = quality_json(*file.quality);
        if (file.running) item["running"] = running_json(*file.running);
        json["files"].push_back(std::move(item));
    }
    return json_text(json);
}

}  // namespace plasticity
