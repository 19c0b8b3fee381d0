#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "artifact/gram.h"
#include "artifact/output_layout.h"
#include "quant/error_feedback.h"

namespace plasticity {

/// Factors of error feedback by the input that they are of: matrices that read the same share one while any of them is
/// at work, and it goes when none is. Thread-safe.
class FeedbackFactors {
public:
    /// @param gram  outlives this
    explicit FeedbackFactors(const GramFile& gram) : gram_(&gram) {}

    /// @throws Error (kMalformed, kIo)
    std::shared_ptr<const FeedbackFactor> of(const OutputTensor& tensor);

private:
    const GramFile* gram_;
    std::mutex mutex_;
    std::map<std::string, std::weak_ptr<const FeedbackFactor>> factors_;
};

/// Error feedback for one tensor, from its first tile to its last: only then it takes memory. Thread-safe.
class TensorFeedback {
public:
    TensorFeedback(const OutputTensor& tensor, std::shared_ptr<FeedbackFactors> factors);

    /// As ErrorFeedback::improve. @throws Error (kMalformed, kIo)
    void improve(std::span<const float> rows, std::span<std::byte> bytes);

    /// Of all rows so far.
    FeedbackOutcome outcome() const;

private:
    std::shared_ptr<const ErrorFeedback> feedback();
    void add(const FeedbackOutcome& outcome);

    const OutputTensor* tensor_;
    std::shared_ptr<FeedbackFactors> factors_;
    mutable std::mutex mutex_;
    std::shared_ptr<const ErrorFeedback> feedback_;
    FeedbackOutcome outcome_;
};

/// A matrix that is multiplied with (an embedding is also read row by row, where nothing makes errors good), of a type
/// that has an own quantiser.
bool takes_feedback(const OutputTensor& tensor);

}  // namespace plasticity
