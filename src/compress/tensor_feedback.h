#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>

#include "artifact/output_layout.h"
#include "quant/error_feedback.h"

namespace plasticity {

/// Error feedback for one tensor. It takes memory between begin() and end() only.
class TensorFeedback {
public:
    explicit TensorFeedback(const OutputTensor& tensor) : tensor_(&tensor) {}

    void begin(std::shared_ptr<const FeedbackFactor> factor) {
        feedback_.emplace(tensor_->spec.type, std::move(factor));
    }
    void end() { feedback_.reset(); }

    /// As ErrorFeedback::improve, between begin() and end(). Thread-safe.
    void improve(std::span<const float> rows, std::span<std::byte> bytes);

    /// Of all rows so far.
    FeedbackOutcome outcome() const;

private:
    const OutputTensor* tensor_;
    std::optional<ErrorFeedback> feedback_;
    mutable std::mutex mutex_;
    FeedbackOutcome outcome_;
};

}  // namespace plasticity
