#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "plasticity/export.h"

namespace plasticity {

/// How far a model is from its base, over the scored positions of held-out text.
struct QualityPanel {
    std::int64_t positions = 0;
    double mean_kl = 0, median_kl = 0, p999_kl = 0, max_kl = 0;  ///< KL(base ‖ model) in nats; 0 is best
    /// One standard error of mean_kl, from the spread of the chunks' means: neighbouring positions are not independent.
    /// Nothing where one chunk was measured.
    std::optional<double> mean_kl_error;
    PLASTICITY_API std::string mean_kl_text() const;  ///< "0.01234 ± 0.0012"
    double base_perplexity = 0, perplexity = 0;
    double perplexity_ratio() const { return base_perplexity > 0 ? perplexity / base_perplexity : 0; }
    double top1_agreement = 0;  ///< share of positions with the same most likely token; 1 is best
};

}  // namespace plasticity
