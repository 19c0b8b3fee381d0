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

std::optional<std::uint64_t> CurvatureCollector::seed_for(const Example& example, std::size_t index) const {
    if (choice_.every == 0 || index % static_cast<std::size_t>(choice_.every) != 0) return std::nullopt;
    return example_seed(choice_.seed, example);
}

CurvatureObserver CurvatureCollector::observer() const {
    return {
        .matrix = [this](const MatrixCurvature& seen) { add_curvature(statistics_, seen); },
        .gates = [this](const GateSlopes& seen) { add_curvature(statistics_, seen); },
    };
}

}  // namespace plasticity
