#include "score/curvature_collector.h"

#include "score/accumulate.h"

namespace plasticity {
namespace {

/// FNV-1a (Fowler, Noll & Vo) over the token ids.
std::uint64_t example_seed(std::uint64_t seed, const Example& example) {
    std::uint64_t hash = 0xcbf29ce484222325u ^ seed;
    for (const std::int32_t token : example.tokens)
        hash = (hash ^ static_cast<std::uint32_t>(token)) * std::uint64_t{0x100000001b3u};
    return hash;
}

}  // namespace

void CurvatureCollector::collect(const Example& example, std::int64_t index) const {
    if (choice_.every == 0 || index % choice_.every != 0) return;
    const std::int64_t n_targets = example.n_targets();
    CurvatureObserver observer{
        .matrix = [&](const MatrixCurvature& seen) { add_curvature(statistics_, seen, n_targets); },
        .gates = [&](const GateSlopes& seen) { add_curvature(statistics_, seen); },
    };
    if (gram_ != nullptr) {
        observer.inputs = [this](const WeighedInputs& seen) { gram_->add(seen); };
        gram_->add_tokens(std::ssize(example.tokens));
    }
    engine_.curvature(example, example_seed(choice_.seed, example), observer);
}

}  // namespace plasticity
