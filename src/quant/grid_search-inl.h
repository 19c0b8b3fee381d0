// The nearest points of a grid to neighbouring magnitudes: quickly, or exactly under importance.
#if defined(PLASTICITY_QUANT_GRID_SEARCH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef PLASTICITY_QUANT_GRID_SEARCH_INL_H
#undef PLASTICITY_QUANT_GRID_SEARCH_INL_H
#else
#define PLASTICITY_QUANT_GRID_SEARCH_INL_H
#endif

#include <limits>

#include "quant/scale_search-inl.h"
#include "quant/signed_grid.h"

HWY_BEFORE_NAMESPACE();
namespace plasticity::HWY_NAMESPACE {

using Integers = hn::Vec<hn::Rebind<std::int32_t, FloatTag>>;

/// A grid of points in Dims dimensions with Levels magnitudes in each, for groups of N weights.
template <std::size_t GroupWeights, std::size_t Dims, std::size_t Levels>
struct GridShape {
    static constexpr std::size_t kWeights = GroupWeights;
    static constexpr std::size_t kDims = Dims;
    static constexpr std::size_t kLevels = Levels;
    static constexpr std::size_t kCells = GroupWeights / Dims;  ///< points that a group holds
    static constexpr std::size_t kWords = Dims / 4;             ///< words of packed magnitudes a point has
    static constexpr std::size_t kHalfCodes =
        Dims == 4 ? Levels * Levels : Levels * Levels * Levels * Levels;  ///< combinations of half the coordinates
    static constexpr float kStep = Levels == 8 ? 16.0f : 17.5f;           ///< between levels, about, in eighths
    static constexpr float kLowest = 8.0f;                                ///< level, in eighths
};

/// Adds the moments of four weights and their packed magnitudes.
HWY_INLINE void add_moments(LaneView view, std::size_t first, Integers packed, Moments& sums) {
    const hn::Rebind<std::int32_t, FloatTag> integers;
    const Integers low_byte = hn::Set(integers, 255);
    for (std::size_t i = 0; i < 4; ++i) {
        const Floats q = hn::ConvertTo(FloatTag(), hn::And(packed, low_byte));
        packed = hn::ShiftRight<8>(packed);
        const Floats wq = hn::Mul(element(view.importance, first + i), q);
        sums.xq = hn::Add(sums.xq, hn::Mul(wq, element(view.weights, first + i)));
        sums.qq = hn::Add(sums.qq, hn::Mul(wq, q));
    }
}

/// Moments of the points nearest, without regard to importance, to the levels nearest to magnitude · inverse.
template <class Shape>
HWY_INLINE Moments quick_moments(const SignedGrid& grid, LaneView view, Floats inverse) {
    const hn::Rebind<std::int32_t, FloatTag> integers;
    const Floats to_level = hn::Mul(inverse, constant(1.0f / Shape::kStep));
    Moments sums{constant(0.0f), constant(0.0f)};
    for (std::size_t first = 0; first < Shape::kWeights; first += Shape::kDims) {
        Floats code = constant(0.0f);
        for (std::size_t i = Shape::kDims; i-- > 0;) {
            const Floats at =
                hn::Sub(hn::Mul(element(view.weights, first + i), to_level), constant(Shape::kLowest / Shape::kStep));
            const Floats level =
                hn::Round(hn::Min(hn::Max(at, constant(0.0f)), constant(static_cast<float>(Shape::kLevels - 1))));
            code = hn::Add(hn::Mul(code, constant(static_cast<float>(Shape::kLevels))), level);
        }
        const Integers at = hn::ConvertTo(integers, hn::Mul(code, constant(static_cast<float>(Shape::kWords))));
        for (std::size_t word = 0; word < Shape::kWords; ++word)
            add_moments(view, first + 4 * word, hn::GatherIndex(integers, grid.nearest.data() + word, at), sums);
    }
    return sums;
}

/// Costs of all combinations of magnitudes that half the coordinates may take, lanes side by side.
template <class Shape>
struct HalfCosts {
    alignas(64) float costs[Shape::kHalfCodes * kLanes];
};

/// Costs of the levels of two neighbouring weights, as code = first level + kLevels · second level.
template <class Shape>
HWY_INLINE void pair_costs(const SignedGrid& grid, LaneView view, std::size_t first, Floats scale, float* costs) {
    Floats one[Shape::kLevels];
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t level = 0; level < Shape::kLevels; ++level) {
            const Floats miss = hn::Sub(element(view.weights, first + i), hn::Mul(scale, constant(grid.levels[level])));
            const Floats cost = hn::Mul(element(view.importance, first + i), hn::Mul(miss, miss));
            if (i == 0) {
                one[level] = cost;
                continue;
            }
            for (std::size_t lower = 0; lower < Shape::kLevels; ++lower)
                hn::Store(hn::Add(one[lower], cost), FloatTag(), costs + (lower + Shape::kLevels * level) * kLanes);
        }
}

template <class Shape>
HWY_INLINE void half_costs(const SignedGrid& grid, LaneView view, std::size_t first, Floats scale,
                           HalfCosts<Shape>& half) {
    if constexpr (Shape::kDims == 4) {
        pair_costs<Shape>(grid, view, first, scale, half.costs);
    } else {
        constexpr std::size_t kPairs = Shape::kLevels * Shape::kLevels;
        alignas(64) float lower[kPairs * kLanes], upper[kPairs * kLanes];
        pair_costs<Shape>(grid, view, first, scale, lower);
        pair_costs<Shape>(grid, view, first + 2, scale, upper);
        for (std::size_t high = 0; high < kPairs; ++high)
            for (std::size_t low = 0; low < kPairs; ++low)
                hn::Store(hn::Add(element(lower, low), element(upper, high)), FloatTag(),
                          half.costs + (low + kPairs * high) * kLanes);
    }
}

/// Costs of both halves of a cell: the weights that one point covers.
template <class Shape>
struct CellCosts {
    HalfCosts<Shape> lower, upper;
};

/// Where two cells stand in the search for their points. Two at a time, since each comparison waits for the one before.
struct TwoNearest {
    Floats least_a, least_b;
    Floats best_a, best_b;
};

/// Indices of the points of the lowest weighted squared error for two cells: all points are compared.
template <class Shape>
HWY_INLINE TwoNearest best_points_of_two(const SignedGrid& grid, const CellCosts<Shape>& a, const CellCosts<Shape>& b) {
    const Floats most = constant(std::numeric_limits<float>::max()), zero = constant(0.0f);
    TwoNearest found{most, most, zero, zero};
    for (const SignedGrid::Run& run : grid.runs) {
        const Floats common_a = element(a.lower.costs, run.first), common_b = element(b.lower.costs, run.first);
        for (std::uint32_t i = run.begin; i < run.end; ++i) {
            const SignedGrid::Second& second = grid.second[i];
            const Floats point = constant(second.point);
            const Floats cost_a = hn::Add(common_a, element(a.upper.costs, second.half));
            const Floats cost_b = hn::Add(common_b, element(b.upper.costs, second.half));
            found.best_a = hn::IfThenElse(hn::Lt(cost_a, found.least_a), point, found.best_a);
            found.best_b = hn::IfThenElse(hn::Lt(cost_b, found.least_b), point, found.best_b);
            found.least_a = hn::Min(cost_a, found.least_a);
            found.least_b = hn::Min(cost_b, found.least_b);
        }
    }
    return found;
}

/// Points of a group, and their moments.
template <class Shape>
struct GroupPoints {
    Floats points[Shape::kCells];
    Moments sums;
};

template <class Shape>
HWY_INLINE GroupPoints<Shape> best_points(const SignedGrid& grid, LaneView view, Floats scale) {
    const hn::Rebind<std::int32_t, FloatTag> integers;
    const auto costs_of = [&](std::size_t cell, CellCosts<Shape>& costs) HWY_ATTR {
        const std::size_t first = cell * Shape::kDims;
        half_costs<Shape>(grid, view, first, scale, costs.lower);
        half_costs<Shape>(grid, view, first + Shape::kDims / 2, scale, costs.upper);
    };
    // An implicit constructor is not compiled for NEON by g++, and vectors cannot be made in it.
    GroupPoints<Shape> found{{}, {constant(0.0f), constant(0.0f)}};
    CellCosts<Shape> a, b;
    for (std::size_t cell = 0; cell < Shape::kCells; cell += 2) {
        costs_of(cell, a);
        costs_of(cell + 1, b);
        const TwoNearest two = best_points_of_two<Shape>(grid, a, b);
        found.points[cell] = two.best_a;
        found.points[cell + 1] = two.best_b;
    }
    for (std::size_t cell = 0; cell < Shape::kCells; ++cell) {
        const Floats word_at = hn::Mul(found.points[cell], constant(static_cast<float>(Shape::kWords)));
        const Integers at = hn::ConvertTo(integers, word_at);
        for (std::size_t word = 0; word < Shape::kWords; ++word)
            add_moments(view, cell * Shape::kDims + 4 * word, hn::GatherIndex(integers, grid.points.data() + word, at),
                        found.sums);
    }
    return found;
}

}  // namespace plasticity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
