#pragma once

#include <cstdint>
#include <optional>

#include "artifact/statistics.h"
#include "engine/backpropagation.h"

namespace plasticity {

struct CurvatureChoice {
    std::int32_t every = 4;  ///< one example of so many; 0: none
    std::uint64_t seed = 0;
};

/// Has some of the examples backpropagated once more, from labels drawn from the model itself, into the statistics.
/// What is drawn for an example depends on the seed and its tokens alone, not on what was scored before.
class CurvatureCollector {
public:
    CurvatureCollector(Statistics& statistics, const CurvatureChoice& choice)
        : statistics_(statistics), choice_(choice) {}

    /// Nothing where the example is not one of those. @param index  its place among all examples of the data
    std::optional<std::uint64_t> seed_for(const Example& example, std::size_t index) const;
    /// Takes what is seen of those examples. Must not outlive this.
    CurvatureObserver observer() const;

private:
    Statistics& statistics_;
    CurvatureChoice choice_;
};

}  // namespace plasticity
