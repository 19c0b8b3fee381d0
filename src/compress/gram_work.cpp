#include "compress/gram_work.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "core/interrupt.h"
#include "quant/error_feedback.h"

namespace plasticity {

bool GramNeed::is_like(const GramNeed& other) const {
    return input == other.input && std::ranges::equal(kept, other.kept);
}

std::optional<GramNeed> gram_need(const OutputTensor& tensor, const GramSource& gram, bool error_feedback) {
    const GramInput* input = gram.file == nullptr ? nullptr : gram.file->find(*tensor.source);
    const bool loses_columns = tensor.loses_cols(),
               feeds_back = error_feedback && ErrorFeedback::serves(tensor.spec.type);
    if (input == nullptr || (!loses_columns && !feeds_back)) return std::nullopt;
    GramNeed need{.input = input, .kept = tensor.cols, .compensation = {}, .feedback = {}};
    if (loses_columns)
        need.compensation = {.wanted = true, .block = block_within(input->block, gram.most_bytes, [&](auto block) {
                                                 return Compensation::building_bytes(input->width, block);
                                             })};
    if (feeds_back)
        need.feedback = {.wanted = true, .block = FeedbackFactor::block_for(*input, tensor.n_cols(), gram.most_bytes)};
    return need;
}

GramWork work_on(const GramNeed& need, const GramFile& gram, int n_threads) {
    GramWork work;
    throw_if_interrupted();
    if (need.compensation.is_possible()) {
        std::vector<std::int64_t> kept;
        std::ranges::copy_if(need.kept, std::back_inserter(kept), [](auto channel) { return channel != kZeros; });
        work.compensation = std::make_shared<Compensation>(gram.blocks(*need.input, *need.compensation.block), kept);
    }
    throw_if_interrupted();
    if (need.feedback.is_possible())
        work.factor =
            std::make_shared<FeedbackFactor>(gram.blocks(*need.input, *need.feedback.block), need.kept, n_threads);
    return work;
}

}  // namespace plasticity
