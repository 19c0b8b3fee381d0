#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/quality.h"
#include "io/atomic_file.h"

namespace plasticity {

/// One thing that verification looked at.
struct Check {
    std::string name;  ///< "structure", "types", "numerics", "file size", "memory", "generation", "kl divergence"
    bool passed = false;
    std::string detail;  ///< got and expected, with numbers
};

/// What the recipe expected of the divergence, nats per token.
struct PredictedKl {
    double value = 0;
    std::optional<double> standard_error;  ///< nothing where the plan was made without trials
};

/// The outcome of verification: report.json.
struct Report {
    static constexpr int kSchemaVersion = 1;

    std::string model_path;
    std::uint64_t file_bytes = 0;
    std::string architecture;
    std::optional<bool> stock;  ///< as the embedded recipe says: stock llama.cpp runs it; nothing without a recipe
    std::string stock_reason;
    std::vector<Check> checks;
    std::optional<QualityPanel> quality;
    std::optional<PredictedKl> predicted_kl;  ///< beside `quality`; nothing where the recipe does not say
    std::string test_prompt;
    std::string test_output;

    bool passed() const;
};

std::string report_to_json(const Report& report);
/// @param where  what the text is, for messages. @throws Error (kMalformed)
Report report_from_json(std::string_view text, const std::string& where);
/// @throws Error (kMissing, kMalformed, kIo)
Report load_report(const std::filesystem::path& path);
void save_report(const Report& report, const std::filesystem::path& target, Overwrite overwrite);

}  // namespace plasticity
