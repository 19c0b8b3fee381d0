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

bool takes_feedback(const OutputTensor& tensor) {
    return tensor.source->id.role != TensorRole::kTokenEmbedding && ErrorFeedback::serves(tensor.spec.type);
}

}  // namespace plasticity
