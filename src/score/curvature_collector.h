#pragma once

#include <cstdint>

#include "artifact/statistics.h"
#include "engine/backpropagation.h"
#include "score/gram_collector.h"

namespace plasticity {

struct CurvatureChoice {
    std::int32_t every = 4;  ///< one example of so many; 0: none
    std::uint64_t seed = 0;
};

/// Backpropagates some of the examples once more, from labels drawn from the model itself, into the statistics.
/// What is drawn for an example depends on the seed and its tokens alone, not on what was scored before.
class CurvatureCollector {
public:
    /// @param gram  takes the weighed inputs of the same examples; nullptr: nobody does
    CurvatureCollector(Backpropagation& engine, Statistics& statistics, const CurvatureChoice& choice,
                       GramCollector* gram = nullptr)
        : engine_(engine), statistics_(statistics), choice_(choice), gram_(gram) {}

    /// @param example  the one that the engine has just run
    /// @param index    its place among all examples of the data
    void collect(const Example& example, std::int64_t index) const;

private:
    Backpropagation& engine_;
    Statistics& statistics_;
    CurvatureChoice choice_;
    GramCollector* gram_;
};

}  // namespace plasticity
