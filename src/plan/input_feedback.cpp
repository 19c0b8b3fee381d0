#include "plan/input_feedback.h"

#include <numeric>
#include <vector>

#include "artifact/output_layout.h"

namespace plasticity {

std::optional<ErrorFeedback> InputFeedback::of(ggml_type type, std::int64_t columns) {
    if (input_ == nullptr || !ErrorFeedback::serves(type)) return std::nullopt;
    const auto found = factors_.find(columns);
    const auto& shared = found != factors_.end() ? found->second : factors_[columns] = factor(columns);
    if (shared == nullptr) return std::nullopt;
    return ErrorFeedback(type, shared);
}

double InputFeedback::expected_share(const FeedbackOutcome& outcome) const {
    const auto tokens = static_cast<double>(gram_.file->header().n_tokens);
    const double gained = 1 - outcome.error_after / outcome.error_before;
    return 1 - gained * tokens / (tokens + static_cast<double>(input_->width));
}

std::uint64_t InputFeedback::building_bytes(const GramSource& gram, const GramInput& input) {
    const auto block = FeedbackFactor::block_for(input, input.width, gram.most_bytes);
    return block ? FeedbackFactor::building_bytes(input.width, *block) : 0;
}

std::shared_ptr<const FeedbackFactor> InputFeedback::factor(std::int64_t columns) {
    const auto block = FeedbackFactor::block_for(*input_, columns, gram_.most_bytes);
    if (!block) return nullptr;
    std::vector<std::int64_t> kept(static_cast<std::size_t>(columns), kZeros);
    std::iota(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(input_->width), std::int64_t{0});
    return std::make_shared<FeedbackFactor>(gram_.file->blocks(*input_, *block), kept, n_threads_);
}

}  // namespace plasticity
