#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plasticity/export.h"
#include "plasticity/overwrite.h"
#include "plasticity/quality.h"

namespace plasticity {

/// One thing that verification looked at.
struct Check {
    /// "structure", "types", "numerics", "weights", "file size", "memory", "run-time peak", "generation", "coherence",
    /// "kl divergence", "tasks", "stock llama.cpp"
    std::string name;
    bool passed = false;
    std::string detail;  ///< got and expected, with numbers
};

/// What the recipe expected of the divergence, nats per token.
struct PredictedKl {
    double value = 0;
    std::optional<double> standard_error;  ///< nothing where the plan was made without trials
};

/// Memory that running the file took beside what its process had before, against what budgets count for it.
struct RunTimePeak {
    std::int32_t context_length = 0;  ///< tokens that the KV cache held, filled
    std::uint64_t predicted_bytes = 0;
    std::uint64_t measured_bytes = 0;
};

/// What the model says when it draws every token from its own distribution.
struct OutputCoherence {
    std::int64_t tokens = 0;
    double repetition = 0;  ///< share of 4-grams that occurred before in their text; 0 is best (Welleck et al. 2020)
    double entropy = 0;     ///< mean over positions of the model's distributions, nats
    double perplexity = 0;  ///< of the text under the base, or under the model itself
    bool judged_by_base = false;
};

/// A task with what the model made of it.
struct TaskOutcome {
    std::string name;
    bool passed = false;
    std::string output;
    std::string detail;  ///< why it did not pass
};

struct TaskResults {
    std::string path;
    std::vector<TaskOutcome> outcomes;

    PLASTICITY_API std::size_t n_passed() const;
    PLASTICITY_API double accuracy() const;        ///< share passed; 1 is best
    PLASTICITY_API double standard_error() const;  ///< of accuracy, binomial
};

/// The same file in stock llama.cpp and in the own engine.
struct StockComparison {
    std::string tool;  ///< path of the llama-perplexity that ran it
    std::int64_t positions = 0;
    double mean_kl = 0, max_kl = 0;  ///< KL(stock ‖ own) in nats, of probabilities that llama.cpp rounds to 16 bits
    double code_step = 0;            ///< the largest step of those codes, nats
    double top1_agreement = 0;
    double stock_perplexity = 0, own_perplexity = 0;
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
    std::optional<RunTimePeak> peak;
    std::optional<OutputCoherence> coherence;
    std::optional<TaskResults> tasks;
    std::optional<StockComparison> stock_comparison;
    std::string test_prompt;
    std::string test_output;

    PLASTICITY_API bool passed() const;
};

/// The text of report.json.
PLASTICITY_API std::string report_to_json(const Report& report);
/// @param where  what the text is, for messages. @throws Error (kMalformed)
PLASTICITY_API Report report_from_json(std::string_view text, const std::string& where);
/// @throws Error (kMissing, kMalformed, kIo)
PLASTICITY_API Report load_report(const std::filesystem::path& path);
/// @throws Error (kUsage, kIo)
PLASTICITY_API void save_report(const Report& report, const std::filesystem::path& target, Overwrite overwrite);

}  // namespace plasticity
