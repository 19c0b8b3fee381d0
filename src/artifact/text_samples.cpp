#include "artifact/text_samples.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "artifact/json_text.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kMaxSamplesBytes = std::uint64_t{16} << 20;

TextSample read_text_sample(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    TextSample sample;
    sample.prompt = reader.text("prompt");
    if (reader.has("base")) sample.base = reader.text("base");
    sample.compressed = reader.text("compressed");
    reader.finish();
    return sample;
}

}  // namespace

std::string text_samples_to_json(const TextSamples& samples) {
    nlohmann::ordered_json json;
    json["schemaVersion"] = TextSamples::kSchemaVersion;
    json["backend"] = samples.backend;
    json["generatedTokensPerSecond"] = samples.generated_tokens_per_second;
    if (samples.base_generated_tokens_per_second)
        json["baseGeneratedTokensPerSecond"] = *samples.base_generated_tokens_per_second;
    json["samples"] = nlohmann::ordered_json::array();
    for (const TextSample& sample : samples.samples) {
        nlohmann::ordered_json item;
        item["prompt"] = sample.prompt;
        if (sample.base) item["base"] = *sample.base;
        item["compressed"] = sample.compressed;
        json["samples"].push_back(std::move(item));
    }
    return json_text(json);
}

TextSamples text_samples_from_json(std::string_view text, const std::string& where) {
    const nlohmann::json json = parse_strict_json(text, where);
    ObjectReader reader(json, where);
    reader.require_schema("schemaVersion", TextSamples::kSchemaVersion);
    TextSamples samples;
    samples.backend = reader.text("backend");
    samples.generated_tokens_per_second = reader.amount("generatedTokensPerSecond");
    if (reader.has("baseGeneratedTokensPerSecond"))
        samples.base_generated_tokens_per_second = reader.amount("baseGeneratedTokensPerSecond");
    const nlohmann::json& items = reader.value("samples");
    if (!items.is_array()) reader.fail("samples", "is no array");
    for (const auto& item : items)
        samples.samples.push_back(read_text_sample(item, fmt::format("{}: sample {}", where, samples.samples.size())));
    reader.finish();
    return samples;
}

void save_text_samples(const TextSamples& samples, const std::filesystem::path& target, Overwrite overwrite) {
    write_text_file(target, text_samples_to_json(samples), overwrite);
}

TextSamples load_text_samples(const std::filesystem::path& path) {
    return text_samples_from_json(read_text_file(path, kMaxSamplesBytes), path.string());
}

}  // namespace plasticity
