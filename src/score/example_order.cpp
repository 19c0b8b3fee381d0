#include "score/example_order.h"

#include <fmt/format.h>

#include <utility>

#include "core/counter_random.h"
#include "core/error.h"

namespace plasticity {
namespace {

/// Fisher & Yates 1938; the draws follow from the seed alone.
void shuffle(std::vector<std::size_t>& order, std::uint64_t seed) {
    for (std::size_t n = order.size(); n > 1; --n)
        std::swap(order[n - 1], order[static_cast<std::size_t>(uniform_at(seed, n) * static_cast<double>(n))]);
}

}  // namespace

ExampleOrder plain_order(const ScoreSlice& slice) {
    ExampleOrder order;
    for (std::int64_t i = slice.first(); i < slice.first() + slice.size(); ++i)
        order.visits.push_back(static_cast<std::size_t>(i));
    order.n_per_epoch = order.visits.size();
    return order;
}

ExampleOrder training_order(std::size_t n_examples, const FineTuneOptions& options, std::uint64_t seed) {
    ExampleOrder order;
    std::vector<std::size_t> trained;
    const auto every = static_cast<std::size_t>(options.holdout_every);
    for (std::size_t i = 0; i < n_examples; ++i)
        (every > 0 && i % every == every - 1 ? order.held_out : trained).push_back(i);
    if (trained.empty())
        throw Error(ErrorKind::kUsage,
                    fmt::format("score: --holdout-every {} leaves none of {} examples to train on", every, n_examples));
    order.n_per_epoch = trained.size();
    for (std::int32_t epoch = 0; epoch < options.epochs; ++epoch) {
        std::vector<std::size_t> in_epoch = trained;
        if (options.shuffle) shuffle(in_epoch, bits_at(seed, static_cast<std::uint64_t>(epoch)));
        order.visits.insert(order.visits.end(), in_epoch.begin(), in_epoch.end());
    }
    order.first_observed = order.visits.size() - trained.size();
    return order;
}

}  // namespace plasticity
