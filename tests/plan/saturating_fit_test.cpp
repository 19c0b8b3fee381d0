#include "plan/saturating_fit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"

namespace plasticity {
namespace {

std::vector<MeasuredCorner> on_curve(double ceiling, double rate, const std::vector<double>& predicted,
                                     double floor = 0) {
    std::vector<MeasuredCorner> corners;
    for (const double sum : predicted) corners.push_back({sum, floor + ceiling * (1 - std::exp(-rate * sum))});
    return corners;
}

TEST(SaturatingFit, FindsTheCurveThatPointsLieOn) {
    const SaturatingFit fit = fit_saturation(on_curve(2.5, 0.8, {0.001, 0.01, 0.1, 0.5, 2, 5}));
    EXPECT_NEAR(fit.ceiling, 2.5, 1e-4);
    EXPECT_NEAR(fit.rate, 0.8, 1e-4);
    EXPECT_NEAR(fit(1.0), 2.5 * (1 - std::exp(-0.8)), 1e-5);
    EXPECT_LT(fit.relative_error, 1e-4);
}

/// What rounded activations do to SmolLM2 with eight-bit weights is five times what the weights themselves do.
TEST(SaturatingFit, FindsTheFloor) {
    const SaturatingFit fit = fit_saturation(on_curve(2.5, 0.8, {0.0007, 0.009, 0.03, 0.1, 0.6}, 0.0034));
    EXPECT_NEAR(fit.floor, 0.0034, 1e-6);
    EXPECT_NEAR(fit.ceiling * fit.rate, 2, 1e-4);
    EXPECT_LT(fit.relative_error, 1e-3);
}

TEST(SaturatingFit, OfAStraightLineIsOne) {
    const SaturatingFit fit = fit_saturation(std::vector<MeasuredCorner>{{0.001, 0.0007}, {0.01, 0.007}, {0.1, 0.07}});
    EXPECT_NEAR(fit(0.05), 0.035, 1e-4);
    EXPECT_NEAR(fit.ceiling * fit.rate, 0.7, 1e-3);
}

/// Noise of a fifth up and down in turn: the bar is of that size, and what was not fitted lies within it.
TEST(SaturatingFit, ErrorBarIsWhatCornersAreOffBy) {
    std::vector<MeasuredCorner> corners = on_curve(3, 0.5, {0.002, 0.01, 0.04, 0.2, 0.9, 3});
    for (std::size_t i = 0; i < corners.size(); ++i) corners[i].measured *= i % 2 == 0 ? 1.2 : 1 / 1.2;
    const SaturatingFit fit = fit_saturation(corners);
    EXPECT_GT(fit.relative_error, 0.15);
    EXPECT_LT(fit.relative_error, 0.5);
    const double truth = 3 * (1 - std::exp(-0.5 * 0.1));
    EXPECT_NEAR(fit(0.1), truth, fit.relative_error * truth);
}

TEST(SaturatingFit, OfOneCornerGoesThroughIt) {
    const SaturatingFit fit = fit_saturation(std::vector<MeasuredCorner>{{0.1, 0.06}});
    EXPECT_NEAR(fit(0.1), 0.06, 1e-9);
    EXPECT_NEAR(fit.relative_error, 0, 1e-9);
}

TEST(SaturatingFit, RefusesWhatHasNoLogarithm) {
    EXPECT_THROW(fit_saturation({}), Error);
    EXPECT_THROW(fit_saturation(std::vector<MeasuredCorner>{{0.1, 0}}), Error);
    EXPECT_THROW(fit_saturation(std::vector<MeasuredCorner>{{0, 0.1}}), Error);
}

}  // namespace
}  // namespace plasticity
