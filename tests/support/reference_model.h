#pragma once

// What transformers computed for a tiny random model of each family, and the model itself as a Hugging Face folder.
// scripts/reference/families.py recorded tests/data/families/*.json; weights follow from their names, so only the
// results are stored.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace plasticity::test {

struct ReferenceModel {
    std::string name;                        ///< of the recording: "qwen3"
    nlohmann::json config;                   ///< config.json
    nlohmann::json tensors;                  ///< name → shape
    std::vector<std::int32_t> tokens;        ///< one sequence
    std::vector<std::int32_t> positions;     ///< whose logits are recorded
    std::vector<std::vector<float>> logits;  ///< [position][n_vocab], in F32
    double loss = 0;                         ///< mean cross-entropy of all tokens but the first
    std::vector<std::vector<double>> gates;  ///< [layer][query head]: ∂loss/∂gate
};

/// @param name  a file of tests/data/families without ".json"
ReferenceModel load_reference(const std::string& name);

/// config.json, model.safetensors (F32) and a byte-level tokenizer. @returns folder
std::filesystem::path write_reference_folder(const std::filesystem::path& folder, const ReferenceModel& reference);

}  // namespace plasticity::test
