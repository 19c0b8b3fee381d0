#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plasticity/export.h"

namespace plasticity {

/// One standard error of each figure, by a block bootstrap: the text's chunks are drawn anew, whole, with replacement,
/// since neighbouring positions are not independent (Künsch 1989). Of the largest divergence there is none to be had.
struct QualityErrors {
    double median_kl = 0, p999_kl = 0;
    double perplexity = 0, perplexity_ratio = 0;
    double top1_agreement = 0;
};

/// Where the divergences of single positions lie.
struct KlHistogram {
    std::vector<double> edges;  ///< [bins + 1], nats, ascending
    std::vector<std::int64_t>
        counts;  ///< [bins] positions from edges[i] up to edges[i + 1]; the ends hold what is beyond
};

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
    double top1_agreement = 0;            ///< share of positions with the same most likely token; 1 is best
    std::optional<QualityErrors> errors;  ///< nothing where one chunk was measured
    KlHistogram histogram;                ///< empty where it was not kept
};

/// "0.1106 ± 0.0031", or the value alone where its standard error is not known.
PLASTICITY_API std::string estimate_text(double value, const std::optional<double>& error);

}  // namespace plasticity
