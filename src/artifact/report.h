#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/atomic_file.h"

namespace plasticity {

/// One thing that verification looked at.
struct Check {
    std::string name;  ///< "structure", "types", "numerics", "file size", "memory", "generation", "kl divergence"
    bool passed = false;
    std::string detail;  ///< got and expected, with numbers
};

/// How far a model is from its base, over the scored positions of held-out text.
struct QualityPanel {
    std::int64_t positions = 0;
    double mean_kl = 0, median_kl = 0, p999_kl = 0, max_kl = 0;  ///< KL(base ‖ model) in nats; 0 is best
    double base_perplexity = 0, perplexity = 0;
    double perplexity_ratio() const { return base_perplexity > 0 ? perplexity / base_perplexity : 0; }
    double top1_agreement = 0;  ///< share of positions with the same most likely token; 1 is best
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
void save_report(const Report& report, const std::filesystem::path& target, Overwrite overwrite);

}  // namespace plasticity
