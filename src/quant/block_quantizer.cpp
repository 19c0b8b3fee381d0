#include "quant/block_quantizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "core/error.h"
#include "quant/block_check.h"

namespace plasticity {
namespace {

/// Largest finite F16: what F16 weights and the scales of blocks can hold.
constexpr float kLargestF16 = 65504.0f;

/// A channel the data never excited gets this share of the mean importance. Blocks whose weights are all zero leave
/// ggml's searches without a determined scale; this keeps one and is far below anything that was measured.
constexpr float kSmallestShare = 1e-6f;

/// Blocks handed to an own quantiser at once: a multiple of the lanes it fills.
constexpr std::size_t kBlocksAtATime = 64;

bool holds_f32_range(ggml_type type) {
    return type == GGML_TYPE_F32 || type == GGML_TYPE_BF16;
}

std::vector<float> usable_importance(std::span<const float> importance, const std::string& name) {
    double sum = 0;
    for (std::size_t i = 0; i < importance.size(); ++i) {
        if (!std::isfinite(importance[i]) || importance[i] < 0)
            throw Error(ErrorKind::kMalformed,
                        fmt::format("quantise: importance of {} at channel {} is {}; expected a finite number ≥ 0. "
                                    "Are the statistics damaged?",
                                    name, i, importance[i]));
        sum += importance[i];
    }
    if (sum <= 0) return {};
    const auto least = static_cast<float>(sum / static_cast<double>(importance.size())) * kSmallestShare;
    std::vector<float> usable(importance.begin(), importance.end());
    for (float& weight : usable) weight = std::max(weight, least);
    return usable;
}

}  // namespace

bool quantizes_to(ggml_type type) {
    if (type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16) return true;
    return ggml_is_quantized(type) && type != GGML_TYPE_Q8_1 && type != GGML_TYPE_Q8_K;
}

BlockQuantizer::BlockQuantizer(ggml_type type, std::int64_t cols, std::span<const float> importance, std::string name)
    : type_(type), cols_(cols), name_(std::move(name)) {
    if (!quantizes_to(type))
        throw Error(ErrorKind::kUsage, fmt::format("quantise: {} to {}; expected a type for weights, such as q4_K",
                                                   name_, ggml_type_name(type)));
    if (cols < 1 || cols % ggml_blck_size(type) != 0)
        throw Error(ErrorKind::kMalformed,
                    fmt::format("quantise: rows of {} hold {} weights; {} needs a multiple of {}. Choose a type with "
                                "smaller blocks",
                                name_, cols, ggml_type_name(type), ggml_blck_size(type)));
    if (!importance.empty() && std::cmp_not_equal(importance.size(), cols))
        throw Error(ErrorKind::kMalformed,
                    fmt::format("quantise: importance of {} has {} channels; expected {}. Are the statistics another "
                                "model's?",
                                name_, importance.size(), cols));
    importance_ = usable_importance(importance, name_);
    if (importance_.empty() && ggml_quantize_requires_imatrix(type))
        importance_.assign(static_cast<std::size_t>(cols), 1.0f);
    own_ = own_quantizer(type);
    if (own_ == nullptr) ggml_quantize_init(type);  // builds the grids of I-quants before any thread needs them
}

void BlockQuantizer::require_representable(std::span<const float> rows, std::int64_t first_row) const {
    const float limit = holds_f32_range(type_) ? std::numeric_limits<float>::max() : kLargestF16;
    const auto bad = first_beyond(rows, limit);
    if (!bad) return;
    const float weight = rows[static_cast<std::size_t>(*bad)];
    const std::string expected =
        std::isfinite(weight)
            ? fmt::format("{} holds magnitudes up to {}. Keep this tensor in bf16 or f32", ggml_type_name(type_), limit)
            : std::string("expected finite weights. Is the model damaged?");
    throw Error(ErrorKind::kMalformed, fmt::format("quantise: {} at row {}, column {} is {}; {}", name_,
                                                   first_row + *bad / cols_, *bad % cols_, weight, expected));
}

void BlockQuantizer::quantize(std::span<const float> rows, std::int64_t first_row, std::span<std::byte> out) const {
    const auto n_rows = static_cast<std::int64_t>(rows.size()) / cols_;
    if (std::cmp_not_equal(n_rows * cols_, rows.size()) || out.size() != static_cast<std::size_t>(n_rows) * row_bytes())
        throw Error(ErrorKind::kInternal, fmt::format("quantise: {} weights of {} into {} bytes; expected whole rows "
                                                      "of {} weights and {} bytes",
                                                      rows.size(), name_, out.size(), cols_, row_bytes()));
    require_representable(rows, first_row);
    if (n_rows == 0) return;
    if (own_ != nullptr)
        quantize_own(rows, out);
    else
        ggml_quantize_chunk(type_, rows.data(), out.data(), 0, n_rows, cols_,
                            importance_.empty() ? nullptr : importance_.data());
}

void BlockQuantizer::quantize_own(std::span<const float> rows, std::span<std::byte> out) const {
    const auto block_weights = static_cast<std::size_t>(ggml_blck_size(type_));
    const std::size_t block_bytes = ggml_type_size(type_), row_blocks = static_cast<std::size_t>(cols_) / block_weights;
    std::array<Block, kBlocksAtATime> blocks;
    const std::size_t n_blocks = rows.size() / block_weights;
    for (std::size_t first = 0; first < n_blocks; first += blocks.size()) {
        const std::size_t count = std::min(blocks.size(), n_blocks - first);
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t at = first + i;
            blocks[i] = {
                .weights = rows.data() + at * block_weights,
                .importance = importance_.empty() ? nullptr : importance_.data() + at % row_blocks * block_weights,
                .out = out.data() + at * block_bytes};
        }
        own_(std::span(blocks).first(count));
    }
}

}  // namespace plasticity
