#include "compress/feedback_summary.h"

#include <fmt/format.h>

namespace plasticity {

FeedbackSummary summarise_feedback(const std::vector<TensorEncoder>& encoders) {
    FeedbackSummary summary;
    FeedbackOutcome all;
    double ratios = 0;
    int measured = 0;
    for (const TensorEncoder& encoder : encoders) {
        if (encoder.feedback() == nullptr) continue;
        ++summary.matrices;
        const FeedbackOutcome outcome = encoder.feedback()->outcome();
        all.add(outcome);
        if (!(outcome.error_before > 0)) continue;
        ratios += outcome.error_after / outcome.error_before;
        ++measured;
    }
    if (measured > 0) summary.mean_ratio = ratios / measured;
    if (all.rows > 0) summary.share_of_rows = static_cast<double>(all.rows_changed) / static_cast<double>(all.rows);
    return summary;
}

void note_feedback(const FeedbackSummary& summary, Progress& progress) {
    if (!summary.mean_ratio) return progress.note("error feedback in no matrix");
    progress.note(
        fmt::format("error feedback in {} matrices: {:.1f} % of their rows are better by it; squared error of "
                    "outputs x{:.3f}",
                    summary.matrices, 100 * summary.share_of_rows, *summary.mean_ratio));
}

}  // namespace plasticity
