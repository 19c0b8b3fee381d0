#pragma once

#include <ggml.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "artifact/gram.h"
#include "quant/error_feedback.h"

namespace plasticity {

/// Error feedback as compress gives it to the matrices that read one input.
class InputFeedback {
public:
    /// @param input      of gram's file, or nullptr: no type has feedback
    /// @param n_threads  that a factor may take
    InputFeedback(const GramSource& gram, const GramInput* input, int n_threads)
        : gram_(gram), input_(input), n_threads_(n_threads) {}

    /// @param columns  of the rows, a multiple of the type's block; those behind the input's width are zero
    /// @returns nothing where the type, or a width that memory does not allow, goes without
    /// @throws Error (kMalformed, kIo)
    std::optional<ErrorFeedback> of(ggml_type type, std::int64_t columns);

    /// What feedback leaves of the output's squared error on text other than that which the Gram matrix is of.
    ///
    /// On that text itself it also makes good for what is peculiar to it: n tokens know little of how more than n
    /// channels go together. Of what it gained there, n ÷ (n + channels) is counted on. Qwen2.5-Coder-0.5B, 16,384
    /// tokens (bench/output_error.py): flat types 0.50 there, 0.63 on other text, by this 0.54; types of down alone
    /// 0.47, 0.70 and 0.59. The divergence of a whole plan was 0.0074, predicted 0.0073.
    /// @param outcome  of rows whose error was not 0
    double expected_share(const FeedbackOutcome& outcome) const;

    /// The most memory that it takes at a time.
    static std::uint64_t building_bytes(const GramSource& gram, const GramInput& input);

private:
    std::shared_ptr<const FeedbackFactor> factor(std::int64_t columns);

    GramSource gram_;
    const GramInput* input_;
    int n_threads_;
    std::map<std::int64_t, std::shared_ptr<const FeedbackFactor>> factors_;  ///< by columns; nullptr: not possible
};

}  // namespace plasticity
