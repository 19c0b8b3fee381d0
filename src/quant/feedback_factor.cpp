#include "quant/feedback_factor.h"

#include <Eigen/Core>
#include <algorithm>

#include "core/error.h"
#include "quant/cholesky.h"

namespace plasticity {
namespace {

using Matrix = Eigen::MatrixXf;

/// How often λ is raised tenfold before a block counts as no Gram matrix. Sums over fewer samples than channels may
/// come out a little indefinite by rounding.
constexpr int kDampingSteps = 6;

using Channels = std::vector<std::int64_t>;
constexpr std::int64_t kNoChannel = -1;  ///< zero in every input

/// Of two channels, counted from the block's first.
float entry(const GramBlock& block, std::int64_t a, std::int64_t b) {
    return a == kNoChannel || b == kNoChannel ? 0.0f : block.at(a, b);
}

/// λ as a share of a block's mean diagonal: channels ÷ tokens, at least GPTQ's 0.01. The fewer tokens, the less their
/// sums know of how so many channels go together; of independent channels the eigenvalues would spread by √ of that.
/// Divergence of Qwen2.5-Coder-0.5B on a third text, 16,384 tokens: 0.0085, as with 0.2 or 0.1 for all widths; 0.0090
/// with 0.5, 0.0090 with a fifth of each channel's own square. 4,096 tokens: 0.0093 with 0.5, 0.0095 with 0.2 or 1.
float damping_of(std::int64_t channels, std::int64_t n_tokens) {
    constexpr float kLeast = 0.01f;
    return std::max(kLeast, static_cast<float>(channels) / static_cast<float>(n_tokens));
}

std::int64_t count_of(const Channels& channels) {
    return std::ssize(channels) - std::ranges::count(channels, kNoChannel);
}

float mean_diagonal(const GramBlock& block, const Channels& channels) {
    double sum = 0;
    for (const std::int64_t channel : channels) sum += double{entry(block, channel, channel)};
    const std::int64_t count = count_of(channels);
    return count > 0 ? static_cast<float>(sum / static_cast<double>(count)) : 0.0f;
}

/// The reversed factor, and the λ that it took.
struct Factored {
    Matrix reversed;
    float lambda = 0;
};

/// H + λI with rows and columns in reverse. Its lower Cholesky factor, reversed again, is the upper factor U of
/// H + λI = U Uᵀ. Only the lower triangle is filled.
void fill_reversed(const GramBlock& block, const Channels& channels, Factored& out) {
    const auto n = static_cast<Eigen::Index>(channels.size());
    const auto channel = [&](Eigen::Index reversed) { return channels[static_cast<std::size_t>(n - 1 - reversed)]; };
    out.reversed.resize(n, n);
    for (Eigen::Index col = 0; col < n; ++col)
        for (Eigen::Index row = col; row < n; ++row)
            out.reversed(row, col) = entry(block, channel(row), channel(col)) + (row == col ? out.lambda : 0.0f);
}

/// @param read  the block, whose memory is given back before the factor needs more
Factored factor_of(const std::function<GramBlock()>& read, const Channels& channels, float damping, int n_threads) {
    Factored factored;
    for (int step = 0; step < kDampingSteps; ++step) {
        {
            const GramBlock block = read();
            const float mean = mean_diagonal(block, channels);
            factored.lambda = step > 0 ? 10 * factored.lambda : mean > 0 ? damping * mean : 1.0f;
            fill_reversed(block, channels, factored);
        }
        if (factor_cholesky(factored.reversed.data(), channels.size(), n_threads)) return factored;
    }
    throw Error(ErrorKind::kMalformed,
                "error feedback: the Gram matrix is not positive semi-definite; expected sums of x xᵀ. Is the file "
                "damaged?");
}

/// For each block of the Gram matrix the channels that are kept, counted from the block's first. Those of zeros go
/// with the block of the channel before.
std::vector<Channels> channels_by_block(const GramBlocks& gram, std::span<const std::int64_t> kept) {
    std::vector<Channels> channels(static_cast<std::size_t>(gram.width / gram.block));
    std::size_t block = 0;
    const auto add = [&](std::int64_t channel) {
        if (channel != kNoChannel) block = static_cast<std::size_t>(channel / gram.block);
        channels[block].push_back(channel != kNoChannel ? channel % gram.block : kNoChannel);
    };
    if (kept.empty())
        for (std::int64_t channel = 0; channel < gram.width; ++channel) add(channel);
    for (const std::int64_t channel : kept) add(channel);
    return channels;
}

}  // namespace

std::uint64_t FeedbackFactor::building_bytes(std::int64_t width, std::int64_t block) {
    const std::uint64_t square = sizeof(float) * static_cast<std::uint64_t>(block * block);
    // The coefficients of the blocks before; beside this one's square first its sums, then what factoring it takes,
    // then its coefficients.
    return static_cast<std::uint64_t>(width / block - 1) * square / 2 + square +
           std::max(square / 2, cholesky_bytes(static_cast<std::size_t>(block)));
}

std::optional<std::int64_t> FeedbackFactor::block_for(const GramInput& input, std::int64_t columns,
                                                      std::uint64_t most_bytes) {
    // Zero columns widen what is held of a block, but not the block.
    const double share = std::min(1.0, static_cast<double>(input.width) / static_cast<double>(columns));
    const auto bytes = static_cast<std::uint64_t>(share * share * static_cast<double>(most_bytes));
    return block_within(input.block, bytes, [&](std::int64_t block) { return building_bytes(input.width, block); });
}

FeedbackFactor::FeedbackFactor(const GramBlocks& gram, std::span<const std::int64_t> kept, int n_threads) {
    const std::vector<Channels> channels = channels_by_block(gram, kept);
    for (std::size_t block = 0; block < channels.size(); ++block)
        if (!channels[block].empty())
            append([&] { return gram.read(static_cast<std::int64_t>(block) * gram.block); }, channels[block],
                   damping_of(count_of(channels[block]), gram.n_tokens), n_threads);
}

/// @param read      the block
/// @param channels  of it, counted from its first
void FeedbackFactor::append(const std::function<GramBlock()>& read, const std::vector<std::int64_t>& channels,
                            float damping, int n_threads) {
    const Factored factored = factor_of(read, channels, damping, n_threads);
    const std::size_t begin = columns(), end = begin + channels.size();
    const auto upper = [&](std::size_t row, std::size_t column) {
        return factored.reversed(static_cast<Eigen::Index>(end - 1 - row), static_cast<Eigen::Index>(end - 1 - column));
    };
    for (std::size_t column = begin; column < end; ++column)
        weights_.push_back(upper(column, column) * upper(column, column));

    const std::size_t first_panel = panels_.size();
    std::size_t length = 0;
    for (std::size_t first = begin; first < end; first += panels_.back().width) {
        const std::size_t panel_end = std::min(end, (first / kPanelColumns + 1) * kPanelColumns);
        panels_.push_back({.first_column = first,
                           .width = panel_end - first,
                           .first_row = begin,
                           .damping = factored.lambda,
                           .block = coefficients_.size(),
                           .offset = length});
        length += (panel_end - begin) * kPanelColumns;
    }
    std::vector<float>& of_block = coefficients_.emplace_back(length);
    for (const Panel& panel : std::span(panels_).subspan(first_panel)) {
        float* out = of_block.data() + panel.offset;
        for (std::size_t column = panel.first_column; column < panel.first_column + panel.width; ++column)
            for (std::size_t row = begin; row < column; ++row)
                out[(row - begin) * kPanelColumns + column - panel.first_column] =
                    upper(row, column) / upper(column, column);
    }
}

}  // namespace plasticity
