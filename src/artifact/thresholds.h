#pragma once

#include <filesystem>
#include <optional>

namespace plasticity {

/// What a file must keep to for verification to pass. What has no default is not judged unless a file says so.
struct Thresholds {
    static constexpr int kSchemaVersion = 1;

    // Against the base, on held-out text. Nats per token where not said otherwise.
    std::optional<double> max_mean_kl, max_median_kl, max_p999_kl;
    std::optional<double> max_perplexity_ratio;  ///< perplexity ÷ that of the base
    std::optional<double> min_top1_agreement;    ///< [0, 1]
    std::optional<double> min_task_accuracy;     ///< [0, 1], of --tasks
    double min_weight_similarity = 0.5;          ///< cosine of a tensor with what its base has there
    double max_repetition = 0.5;                 ///< share of 4-grams of the model's own text that it had before
    double min_entropy = 0.05;                   ///< mean over positions of that text
    double max_output_perplexity = 1000;         ///< of that text
    double max_peak_ratio = 1.25;                ///< measured ÷ predicted memory, beyond a slack of 64 MiB
    double max_stock_kl = 0.01;                  ///< KL(stock llama.cpp ‖ own engine)

    bool needs_base() const {
        return max_mean_kl || max_median_kl || max_p999_kl || max_perplexity_ratio || min_top1_agreement;
    }
};

/// Reads a thresholds file. @throws Error (kMissing, kMalformed naming the key: unknown ones are refused)
Thresholds load_thresholds(const std::filesystem::path& path);

}  // namespace plasticity
