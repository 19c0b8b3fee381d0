#include "quant/feedback_factor.h"

#include <Eigen/Cholesky>
#include <algorithm>

#include "core/error.h"
#include "quant/eigen_blocking.h"

namespace plasticity {
namespace {

using Matrix = Eigen::MatrixXf;

/// How often λ is raised tenfold before a block counts as no Gram matrix. Sums over fewer samples than channels may
/// come out a little indefinite by rounding.
constexpr int kDampingSteps = 6;

/// One block on the diagonal and which of its channels are wanted.
struct Selection {
    std::span<const float> block;  ///< [width][width]
    std::size_t width;
    const std::vector<std::size_t>& channels;

    float at(std::size_t a, std::size_t b) const { return block[channels[a] * width + channels[b]]; }
};

float mean_diagonal(const Selection& selection) {
    double sum = 0;
    for (std::size_t j = 0; j < selection.channels.size(); ++j) sum += double{selection.at(j, j)};
    return static_cast<float>(sum / static_cast<double>(selection.channels.size()));
}

/// H + λI with rows and columns in reverse. Its lower Cholesky factor, reversed again, is the upper factor U of
/// H + λI = U Uᵀ. Only the lower triangle is filled.
void fill_reversed(const Selection& selection, float lambda, Matrix& reversed) {
    const std::size_t n = selection.channels.size();
    reversed.resize(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(n));
    for (std::size_t col = 0; col < n; ++col)
        for (std::size_t row = col; row < n; ++row)
            reversed(static_cast<Eigen::Index>(row), static_cast<Eigen::Index>(col)) =
                selection.at(n - 1 - row, n - 1 - col) + (row == col ? lambda : 0.0f);
}

/// The reversed factor, and the λ that it took.
struct Factored {
    Matrix reversed;
    float lambda = 0;
};

Factored factor_of(const Selection& selection, float damping) {
    fix_eigen_blocking();
    const float mean = mean_diagonal(selection);
    Factored factored{.reversed = {}, .lambda = mean > 0 ? damping * mean : 1.0f};
    for (int step = 0; step < kDampingSteps; ++step, factored.lambda *= 10) {
        fill_reversed(selection, factored.lambda, factored.reversed);
        if (const Eigen::LLT<Eigen::Ref<Matrix>> in_place(factored.reversed); in_place.info() == Eigen::Success)
            return factored;
    }
    throw Error(ErrorKind::kMalformed,
                "error feedback: the Gram matrix is not positive semi-definite; expected sums of x xᵀ. Is the file "
                "damaged?");
}

/// For each block of the Gram matrix the channels that are kept, counted from the block's first.
std::vector<std::vector<std::size_t>> channels_by_block(const GramBlocks& gram, std::span<const std::int64_t> kept) {
    std::vector<std::vector<std::size_t>> channels(static_cast<std::size_t>(gram.width / gram.block));
    const auto add = [&](std::int64_t channel) {
        channels[static_cast<std::size_t>(channel / gram.block)].push_back(
            static_cast<std::size_t>(channel % gram.block));
    };
    if (kept.empty())
        for (std::int64_t channel = 0; channel < gram.width; ++channel) add(channel);
    for (const std::int64_t channel : kept) add(channel);
    return channels;
}

}  // namespace

FeedbackFactor::FeedbackFactor(const GramBlocks& gram, std::span<const std::int64_t> kept, float damping) {
    const auto channels = channels_by_block(gram, kept);
    for (std::size_t block = 0; block < channels.size(); ++block)
        if (!channels[block].empty()) append(gram, block, channels[block], damping);
}

/// @param channels  of the block, counted from its first
void FeedbackFactor::append(const GramBlocks& gram, std::size_t block, const std::vector<std::size_t>& channels,
                            float damping) {
    const auto width = static_cast<std::size_t>(gram.block);
    const auto square = std::span(gram.values).subspan(block * width * width, width * width);
    const Factored factored = factor_of({square, width, channels}, damping);
    const std::size_t begin = columns(), end = begin + channels.size();
    const auto upper = [&](std::size_t row, std::size_t column) {
        return factored.reversed(static_cast<Eigen::Index>(end - 1 - row), static_cast<Eigen::Index>(end - 1 - column));
    };
    for (std::size_t column = begin; column < end; ++column)
        weights_.push_back(upper(column, column) * upper(column, column));
    for (std::size_t first = begin; first < end; first += panels_.back().width) {
        const std::size_t panel_end = std::min(end, (first / kPanelColumns + 1) * kPanelColumns);
        panels_.push_back({.first_column = first,
                           .width = panel_end - first,
                           .first_row = begin,
                           .damping = factored.lambda,
                           .offset = coefficients_.size()});
        coefficients_.resize(coefficients_.size() + (panel_end - begin) * kPanelColumns);
        float* out = coefficients_.data() + panels_.back().offset;
        for (std::size_t column = first; column < panel_end; ++column)
            for (std::size_t row = begin; row < column; ++row)
                out[(row - begin) * kPanelColumns + column - first] = upper(row, column) / upper(column, column);
    }
}

}  // namespace plasticity
