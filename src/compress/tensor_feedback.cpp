#include "compress/tensor_feedback.h"

#include <cassert>

namespace plasticity {

void TensorFeedback::improve(std::span<const float> rows, std::span<std::byte> bytes) {
    assert(feedback_);
    const FeedbackOutcome outcome = feedback_->improve(rows, bytes);
    const std::scoped_lock lock(mutex_);
    outcome_.add(outcome);
}

FeedbackOutcome TensorFeedback::outcome() const {
    const std::scoped_lock lock(mutex_);
    return outcome_;
}

}  // namespace plasticity
