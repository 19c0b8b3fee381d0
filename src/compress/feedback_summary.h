#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "compress/tensor_encoder.h"
#include "core/progress.h"

namespace plasticity {

/// What error feedback did to a whole file.
struct FeedbackSummary {
    std::uint64_t matrices = 0;        ///< that go with it
    std::optional<double> mean_ratio;  ///< squared error of outputs ÷ that without, over matrices quantised by this run
    double share_of_rows = 0;          ///< that feedback made better
};

FeedbackSummary summarise_feedback(const std::vector<TensorEncoder>& encoders);
void note_feedback(const FeedbackSummary& summary, Progress& progress);

}  // namespace plasticity
