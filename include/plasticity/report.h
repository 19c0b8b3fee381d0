#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "plasticity/export.h"
#include "plasticity/overwrite.h"
#include "plasticity/quality.h"

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

    PLASTICITY_API bool passed() const;
};

/// The text of report.json.
PLASTICITY_API std::string report_to_json(const Report& report);
/// @throws Error (kUsage, kIo)
PLASTICITY_API void save_report(const Report& report, const std::filesystem::path& target, Overwrite overwrite);

}  // namespace plasticity
