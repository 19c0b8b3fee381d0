#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/counter_random.h"
#include "engine/divergence.h"

namespace plasticity {
namespace {

/// Divergences that differ between chunks as much as within.
std::vector<PositionOutcome> outcomes_of(std::size_t n_chunks, std::size_t per_chunk) {
    std::vector<PositionOutcome> outcomes;
    for (std::size_t i = 0; i < n_chunks * per_chunk; ++i) {
        const double level = 1 + uniform_at(7, i / per_chunk);
        outcomes.push_back(
            {.kl = level * uniform_at(3, i), .base_nll = 2, .nll = 2 + level / 10, .same_top = i % 4 != 0});
    }
    return outcomes;
}

/// numpy's default: linear between order statistics.
double naive_quantile(std::vector<PositionOutcome> outcomes, double share) {
    std::ranges::sort(outcomes, {}, &PositionOutcome::kl);
    const double at = share * static_cast<double>(outcomes.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const std::size_t above = std::min(below + 1, outcomes.size() - 1);
    return outcomes[below].kl + (at - static_cast<double>(below)) * (outcomes[above].kl - outcomes[below].kl);
}

TEST(QualitySummary, QuantilesAreThoseOfOrderStatistics) {
    for (const std::size_t per_chunk : {std::size_t{1}, std::size_t{2}, std::size_t{255}, std::size_t{1001}}) {
        const auto outcomes = outcomes_of(3, per_chunk);
        const QualityPanel panel = summarize(outcomes, per_chunk);
        EXPECT_NEAR(panel.median_kl, naive_quantile(outcomes, 0.5), 1e-12) << per_chunk;
        EXPECT_NEAR(panel.p999_kl, naive_quantile(outcomes, 0.999), 1e-12) << per_chunk;
        EXPECT_EQ(panel.max_kl, std::ranges::max(outcomes, {}, &PositionOutcome::kl).kl);
    }
}

/// The bootstrap's error of the ratio against that of the mean difference, by the chunks' means: to first order they
/// are one.
TEST(QualitySummary, BootstrapErrorsAreThoseOfTheChunks) {
    constexpr std::size_t kChunks = 40, kPerChunk = 50;
    const auto outcomes = outcomes_of(kChunks, kPerChunk);
    const QualityPanel panel = summarize(outcomes, kPerChunk);
    ASSERT_TRUE(panel.errors);
    std::vector<double> means(kChunks);
    for (std::size_t i = 0; i < outcomes.size(); ++i) means[i / kPerChunk] += (outcomes[i].nll - 2) / kPerChunk;
    const double mean = std::accumulate(means.begin(), means.end(), 0.0) / kChunks;
    double squares = 0;
    for (const double m : means) squares += (m - mean) * (m - mean);
    const double expected = panel.perplexity_ratio() * std::sqrt(squares / (kChunks * (kChunks - 1)));
    EXPECT_NEAR(panel.errors->perplexity_ratio, expected, 0.1 * expected);  // 1000 resamples: ±2 %, one more for 1/n
    EXPECT_GT(panel.errors->median_kl, 0);
    EXPECT_GT(panel.errors->p999_kl, 0);
    EXPECT_LT(panel.errors->top1_agreement, 0.01) << "every chunk has the same share but for one position";
    EXPECT_EQ(summarize(outcomes, kPerChunk).errors->median_kl, panel.errors->median_kl) << "nothing is random";
}

TEST(QualitySummary, OneChunkHasNoErrors) {
    const QualityPanel panel = summarize(outcomes_of(1, 50), 50);
    EXPECT_FALSE(panel.errors);
    EXPECT_FALSE(panel.mean_kl_error);
}

TEST(QualitySummary, TheHistogramHoldsEveryPosition) {
    std::vector<PositionOutcome> outcomes(6);
    const double values[] = {-1e-9, 1e-7, 1e-6, 0.5, 1e9, std::numeric_limits<double>::quiet_NaN()};
    for (std::size_t i = 0; i < outcomes.size(); ++i) outcomes[i].kl = values[i];
    const KlHistogram histogram = summarize(outcomes, outcomes.size()).histogram;
    ASSERT_EQ(histogram.edges.size(), histogram.counts.size() + 1);
    EXPECT_TRUE(std::ranges::is_sorted(histogram.edges));
    EXPECT_EQ(histogram.edges.front(), 0);
    EXPECT_EQ(histogram.counts.front(), 2) << "what rounding leaves of 0";
    EXPECT_EQ(histogram.counts[1], 1) << "a bin begins with its lower edge";
    EXPECT_EQ(histogram.counts.back(), 2) << "beyond the last edge, and what is no number";
    EXPECT_EQ(std::accumulate(histogram.counts.begin(), histogram.counts.end(), std::int64_t{0}), 6);
}

TEST(Entropy, HandMadeNumbers) {
    EXPECT_NEAR(entropy(std::vector<float>(8, 3.0f)), std::log(8.0), 1e-6);
    EXPECT_NEAR(entropy(std::vector<float>{100, 0, 0}), 0, 1e-6);
}

}  // namespace
}  // namespace plasticity
