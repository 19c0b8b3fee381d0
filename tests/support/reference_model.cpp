#include "support/reference_model.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "io/atomic_file.h"
#include "io/safetensors_writer.h"
#include "model/tokenizer_metadata.h"
#include "support/tiny_model.h"

namespace plasticity::test {
namespace {

std::filesystem::path recording(const std::string& name) {
    const char* sources = std::getenv("PLASTICITY_TEST_SOURCES");
    if (!sources) throw std::runtime_error("PLASTICITY_TEST_SOURCES is not set; run the test by ctest");
    return std::filesystem::path(sources) / "tests/data/families" / (name + ".json");
}

/// As scripts/reference/families.py makes them.
std::vector<float> weights_of(const SafetensorsSpec& spec, bool norms_are_offsets) {
    const bool is_norm = spec.shape.size() == 1 && !spec.name.ends_with(".bias");
    const float base = is_norm && !norms_are_offsets ? 1.0f : 0.0f;
    const float scale = spec.shape.size() == 1 ? 0.1f : std::sqrt(3.0f / static_cast<float>(spec.shape.back()));
    std::vector<float> values = uniform_stream(spec.name, spec.bytes() / sizeof(float));
    for (float& value : values) value = base + scale * value;
    return values;
}

}  // namespace

ReferenceModel load_reference(const std::string& name) {
    std::ifstream in(recording(name));
    const nlohmann::json json = nlohmann::json::parse(in);
    return {.name = name,
            .config = json.at("config"),
            .tensors = json.at("tensors"),
            .tokens = json.at("tokens"),
            .positions = json.at("positions"),
            .logits = json.at("logits"),
            .loss = json.at("loss"),
            .gates = json.at("gates")};
}

std::filesystem::path write_reference_folder(const std::filesystem::path& folder, const ReferenceModel& reference) {
    std::filesystem::create_directories(folder);
    std::vector<SafetensorsSpec> specs;
    for (const auto& [name, shape] : reference.tensors.items())
        specs.push_back({.name = name, .dtype = "F32", .shape = shape.get<std::vector<std::int64_t>>()});
    SafetensorsWriter writer(folder / "model.safetensors", specs, Overwrite::kRefuse);
    for (const SafetensorsSpec& spec : specs) {
        const std::vector<float> values = weights_of(spec, reference.config.at("model_type") == "gemma3_text");
        writer.write(std::as_bytes(std::span(values)));
    }
    writer.finish();
    const auto write = [&](const char* name, const std::string& text) {
        write_text_file(folder / name, text, Overwrite::kRefuse);
    };
    const HfTokenizerFiles tokenizer = write_hf_tokenizer(tiny_tokenizer());
    write("config.json", reference.config.dump());
    write("tokenizer.json", tokenizer.tokenizer);
    write("tokenizer_config.json", tokenizer.tokenizer_config);
    write("generation_config.json", tokenizer.generation_config);
    return folder;
}

}  // namespace plasticity::test
