#include "compress/gram_work.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "core/error.h"
#include "core/interrupt.h"
#include "model/tensor_names.h"
#include "quant/error_feedback.h"

namespace plasticity {
namespace {

/// Channels of fewer neighbours than a super-block has weights are as good as independent.
constexpr std::int64_t kLeastBlock = 256;

/// The input of a matrix, where the file knows it.
const GramInput* input_of(const OutputTensor& tensor, const GramFile* gram) {
    const ModelTensor& source = *tensor.source;
    if (gram == nullptr || source.is_vector || source.n_matrices != 1) return nullptr;
    const GramInput* input = gram->find(gguf_name(source.id));
    if (input != nullptr && input->width != source.cols)
        throw Error(ErrorKind::kMalformed,
                    fmt::format("the Gram matrix of {} is of {} channels; expected {}. Is it another model's?",
                                source.name, input->width, source.cols));
    return input;
}

/// Channels as wide as the output's rows take more memory, where those are padded.
std::uint64_t bytes_for_padded(const OutputTensor& tensor, std::uint64_t most_bytes) {
    const double narrower = static_cast<double>(tensor.source->cols) / static_cast<double>(tensor.n_cols());
    return narrower < 1 ? static_cast<std::uint64_t>(narrower * narrower * static_cast<double>(most_bytes))
                        : most_bytes;
}

/// @param building_bytes  (width, block)
GramUse use_of(const GramInput& input, std::uint64_t most_bytes,
               std::uint64_t (*building_bytes)(std::int64_t, std::int64_t)) {
    return {.wanted = true, .block = block_within(input.block, most_bytes, [&](std::int64_t block) {
                                return building_bytes(input.width, block);
                            })};
}

}  // namespace

bool GramNeed::is_like(const GramNeed& other) const {
    return input == other.input && std::ranges::equal(kept, other.kept);
}

std::optional<GramNeed> gram_need(const OutputTensor& tensor, const GramSource& gram, bool error_feedback) {
    const GramInput* input = input_of(tensor, gram.file);
    const bool loses_columns = tensor.loses_cols(),
               feeds_back = error_feedback && ErrorFeedback::serves(tensor.spec.type);
    if (input == nullptr || (!loses_columns && !feeds_back)) return std::nullopt;
    GramNeed need{.input = input, .kept = tensor.cols, .compensation = {}, .feedback = {}};
    if (loses_columns) need.compensation = use_of(*input, gram.most_bytes, Compensation::building_bytes);
    if (feeds_back)
        need.feedback = use_of(*input, bytes_for_padded(tensor, gram.most_bytes), FeedbackFactor::building_bytes);
    return need;
}

GramWork work_on(const GramNeed& need, const GramFile& gram) {
    GramWork work;
    throw_if_interrupted();
    if (need.compensation.is_possible()) {
        std::vector<std::int64_t> kept;
        std::ranges::copy_if(need.kept, std::back_inserter(kept), [](auto channel) { return channel != kZeros; });
        work.compensation = std::make_shared<Compensation>(gram.blocks(*need.input, *need.compensation.block), kept);
    }
    throw_if_interrupted();
    if (need.feedback.is_possible())
        work.factor = std::make_shared<FeedbackFactor>(gram.blocks(*need.input, *need.feedback.block), need.kept,
                                                       kFeedbackDamping);
    return work;
}

std::optional<std::int64_t> block_within(std::int64_t block, std::uint64_t most_bytes,
                                         const std::function<std::uint64_t(std::int64_t)>& bytes_of) {
    for (std::int64_t parts = 1; parts == 1 || block / parts >= kLeastBlock; ++parts)
        if (block % parts == 0 && bytes_of(block / parts) <= most_bytes) return block / parts;
    return std::nullopt;
}

}  // namespace plasticity
