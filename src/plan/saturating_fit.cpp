#include "plan/saturating_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace plasticity {
namespace {

/// κ · Σ s of the largest corner: from a straight line to one that is at its end long before.
constexpr double kLeastBend = 1e-4, kMostBend = 30;
constexpr int kGridPoints = 64, kBracketings = 60;

double shape(double rate, double predicted) {
    return -std::expm1(-rate * predicted);
}

/// For one κ: the d and c that fit best, and what is left.
struct FitCandidate {
    double floor = 0;
    double ceiling = 0;
    double squares = 0;
};

FitCandidate candidate_for(double rate, std::span<const MeasuredCorner> corners) {
    // Unknowns d and c of d · u + c · v = 1 at every corner, u = 1 / measured, v = shape / measured.
    double uu = 0, uv = 0, vv = 0, u1 = 0, v1 = 0;
    for (const MeasuredCorner& corner : corners) {
        const double u = 1 / corner.measured, v = shape(rate, corner.predicted) / corner.measured;
        uu += u * u, uv += u * v, vv += v * v, u1 += u, v1 += v;
    }
    const double determinant = uu * vv - uv * uv;
    FitCandidate candidate{.ceiling = v1 / vv};
    if (corners.size() > 2 && determinant > 1e-9 * uu * vv) {
        const double floor = (u1 * vv - v1 * uv) / determinant, ceiling = (v1 * uu - u1 * uv) / determinant;
        if (floor > 0 && ceiling > 0) candidate = {.floor = floor, .ceiling = ceiling};
    }
    for (const MeasuredCorner& corner : corners) {
        const double value = candidate.floor + candidate.ceiling * shape(rate, corner.predicted);
        candidate.squares += (value / corner.measured - 1) * (value / corner.measured - 1);
    }
    return candidate;
}

SaturatingFit fit_curve(std::span<const MeasuredCorner> corners) {
    const double largest = std::ranges::max(corners, {}, &MeasuredCorner::predicted).predicted;
    const auto rate_at = [&](double point) {
        return kLeastBend * std::pow(kMostBend / kLeastBend, point / (kGridPoints - 1)) / largest;
    };
    int best = 0;
    for (int point = 1; point < kGridPoints; ++point)
        if (candidate_for(rate_at(point), corners).squares < candidate_for(rate_at(best), corners).squares)
            best = point;
    double low = std::max(best - 1, 0), high = std::min(best + 1, kGridPoints - 1);
    for (int i = 0; i < kBracketings; ++i) {
        const double third = (high - low) / 3;
        const bool left_is_better = candidate_for(rate_at(low + third), corners).squares <=
                                    candidate_for(rate_at(high - third), corners).squares;
        (left_is_better ? high : low) = left_is_better ? high - third : low + third;
    }
    const double rate = rate_at((low + high) / 2);
    const FitCandidate candidate = candidate_for(rate, corners);
    return {.floor = candidate.floor, .ceiling = candidate.ceiling, .rate = rate};
}

/// Root mean square of what the others say of each corner that lies between them.
double left_out_error(const SaturatingFit& whole, std::span<const MeasuredCorner> corners) {
    const auto [least, most] = std::ranges::minmax(corners, {}, &MeasuredCorner::predicted);
    double squares = 0, n = 0;
    for (std::size_t left_out = 0; left_out < corners.size(); ++left_out) {
        const MeasuredCorner& corner = corners[left_out];
        const bool few = corners.size() < 4;
        if (!few && (corner.predicted <= least.predicted || corner.predicted >= most.predicted)) continue;
        std::vector<MeasuredCorner> others(corners.begin(), corners.end());
        others.erase(others.begin() + static_cast<std::ptrdiff_t>(left_out));
        const double ratio = (few ? whole : fit_curve(others))(corner.predicted) / corner.measured;
        squares += (ratio - 1) * (ratio - 1);
        ++n;
    }
    return n > 0 ? std::sqrt(squares / n) : 0;
}

}  // namespace

double SaturatingFit::operator()(double predicted) const {
    return floor + ceiling * shape(rate, predicted);
}

SaturatingFit fit_saturation(std::span<const MeasuredCorner> corners) {
    if (corners.empty()) throw Error(ErrorKind::kInternal, "calibration: no corners to fit");
    for (const MeasuredCorner& corner : corners)
        if (!(corner.predicted > 0 && corner.measured > 0))
            throw Error(ErrorKind::kInternal, fmt::format("calibration: a corner of {} predicted and {} measured",
                                                          corner.predicted, corner.measured));
    SaturatingFit fit = fit_curve(corners);
    fit.relative_error = left_out_error(fit, corners);
    return fit;
}

}  // namespace plasticity
