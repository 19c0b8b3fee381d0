#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/counter_random.h"
#include "engine/divergence.h"

namespace plasticity {
namespace {

constexpr std::size_t kResamples = 1000;
constexpr std::uint64_t kResamplingSeed = 1;

/// Decades of the histogram, cut into so many bins each; below the first lies what rounding leaves of 0.
constexpr int kFirstDecade = -6, kLastDecade = 2, kBinsPerDecade = 4;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A position's divergence and where it stands.
struct Placed {
    double kl = 0;
    std::size_t chunk = 0;
};

/// Over positions, of a chunk or of several.
struct Sums {
    double kl = 0, base_nll = 0, nll = 0, same_top = 0;

    Sums() = default;
    explicit Sums(const PositionOutcome& o)
        : kl(o.kl), base_nll(o.base_nll), nll(o.nll), same_top(o.same_top ? 1 : 0) {}

    void add(const Sums& other, double times = 1) {
        kl += times * other.kl;
        base_nll += times * other.base_nll;
        nll += times * other.nll;
        same_top += times * other.same_top;
    }
};

/// The figures that are errors are wanted of.
struct Figures {
    double median_kl = 0, p999_kl = 0, base_perplexity = 0, perplexity = 0, top1_agreement = 0;
};

/// Positions of a text that is made of chunks drawn from another.
class Resampled {
public:
    Resampled(std::span<const PositionOutcome> outcomes, std::size_t per_chunk)
        : n_positions_(outcomes.size()), sums_(outcomes.size() / per_chunk) {
        ascending_.reserve(outcomes.size());
        for (std::size_t i = 0; i < outcomes.size(); ++i) {
            const PositionOutcome& o = outcomes[i];
            ascending_.push_back({std::isnan(o.kl) ? kInfinity : o.kl, i / per_chunk});
            sums_[i / per_chunk].add(Sums(o));
        }
        std::ranges::stable_sort(ascending_, {}, &Placed::kl);
    }

    std::size_t n_chunks() const { return sums_.size(); }
    double largest() const { return ascending_.back().kl; }
    /// @param times  how often each chunk counts; in all, as many as there are
    Figures figures(std::span<const std::size_t> times) const {
        const auto n = static_cast<double>(n_positions_);
        Sums all;
        for (std::size_t chunk = 0; chunk < sums_.size(); ++chunk)
            all.add(sums_[chunk], static_cast<double>(times[chunk]));
        const auto [median, p999] = quantiles(times);
        return {median, p999, std::exp(all.base_nll / n), std::exp(all.nll / n), all.same_top / n};
    }

private:
    /// 50 % and 99.9 %, by linear interpolation between order statistics.
    std::array<double, 2> quantiles(std::span<const std::size_t> times) const {
        const auto last = static_cast<double>(n_positions_ - 1);
        std::array<double, 2> found{};
        std::size_t next = 0, passed = 0;
        double below = 0;  // the largest of those passed
        for (auto it = ascending_.begin(); it != ascending_.end() && next < found.size(); ++it) {
            const std::size_t count = times[it->chunk];
            if (count == 0) continue;
            passed += count;
            for (; next < found.size(); ++next) {
                const double at = (next == 0 ? 0.5 : 0.999) * last, whole = std::floor(at);
                const auto lower = static_cast<std::size_t>(whole);
                if (lower + (at > whole ? 1 : 0) >= passed) break;
                // Where the lower order statistic lies before this value, the two are interpolated between.
                const double low = lower < passed - count ? below : it->kl;
                found[next] = low + (at - whole) * (it->kl - low);
            }
            below = it->kl;
        }
        return found;
    }

    std::size_t n_positions_;
    std::vector<Placed> ascending_;
    std::vector<Sums> sums_;
};

double deviation(const std::vector<double>& values) {
    const auto n = static_cast<double>(values.size());
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
    double squares = 0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    return std::sqrt(squares / (n - 1));
}

QualityErrors bootstrap(const Resampled& text) {
    const std::size_t n_chunks = text.n_chunks();
    std::vector<Figures> drawn;
    std::vector<std::size_t> times(n_chunks);
    for (std::size_t sample = 0; sample < kResamples; ++sample) {
        std::ranges::fill(times, std::size_t{0});
        for (std::size_t i = 0; i < n_chunks; ++i) ++times[bits_at(kResamplingSeed, sample * n_chunks + i) % n_chunks];
        drawn.push_back(text.figures(times));
    }
    const auto error_of = [&](auto&& figure) {
        std::vector<double> values;
        for (const Figures& figures : drawn) values.push_back(figure(figures));
        return deviation(values);
    };
    return {.median_kl = error_of([](const Figures& f) { return f.median_kl; }),
            .p999_kl = error_of([](const Figures& f) { return f.p999_kl; }),
            .perplexity = error_of([](const Figures& f) { return f.perplexity; }),
            .perplexity_ratio = error_of([](const Figures& f) { return f.perplexity / f.base_perplexity; }),
            .top1_agreement = error_of([](const Figures& f) { return f.top1_agreement; })};
}

/// Of the mean, from the means of the chunks. @pre two of them at least
double error_of_mean(std::span<const PositionOutcome> outcomes, std::size_t per_chunk) {
    std::vector<double> means(outcomes.size() / per_chunk);
    for (std::size_t i = 0; i < outcomes.size(); ++i)
        means[i / per_chunk] += outcomes[i].kl / static_cast<double>(per_chunk);
    return deviation(means) / std::sqrt(static_cast<double>(means.size()));
}

KlHistogram histogram(std::span<const PositionOutcome> outcomes) {
    KlHistogram result{.edges = {0}, .counts = {}};
    for (int i = kFirstDecade * kBinsPerDecade; i <= kLastDecade * kBinsPerDecade; ++i)
        result.edges.push_back(std::pow(10.0, static_cast<double>(i) / kBinsPerDecade));
    result.counts.resize(result.edges.size() - 1);
    for (const PositionOutcome& outcome : outcomes) {
        const auto inner = std::span(result.edges).subspan(1, result.counts.size() - 1);
        ++result.counts[static_cast<std::size_t>(std::ranges::upper_bound(inner, outcome.kl) - inner.begin())];
    }
    return result;
}

}  // namespace

QualityPanel summarize(std::span<const PositionOutcome> outcomes, std::size_t per_chunk) {
    const Resampled text(outcomes, per_chunk);
    const std::vector<std::size_t> once(text.n_chunks(), 1);
    const Figures figures = text.figures(once);
    Sums all;  // in the text's order, as trials of plan sum, too
    for (const PositionOutcome& outcome : outcomes) all.add(Sums(outcome));
    const auto n = static_cast<double>(outcomes.size());
    QualityPanel panel;
    panel.positions = static_cast<std::int64_t>(outcomes.size());
    panel.mean_kl = all.kl / n;
    panel.median_kl = figures.median_kl;
    panel.p999_kl = figures.p999_kl;
    panel.max_kl = text.largest();
    panel.base_perplexity = std::exp(all.base_nll / n);
    panel.perplexity = std::exp(all.nll / n);
    panel.top1_agreement = all.same_top / n;
    panel.histogram = histogram(outcomes);
    if (text.n_chunks() > 1) {
        panel.mean_kl_error = error_of_mean(outcomes, per_chunk);
        panel.errors = bootstrap(text);
    }
    return panel;
}

}  // namespace plasticity
