#include "plan/shrinkage.h"

#include <algorithm>
#include <cmath>

namespace plasticity {
namespace {

/// From here on the series below are good to twelve digits.
constexpr double kLargeArgument = 20;

/// ψ(x) − log x, x > 0
double digamma_less_log(double x) {
    const double log = std::log(x);
    double below = 0;
    while (x < kLargeArgument) {
        below += 1 / x;
        x += 1;
    }
    const double square = 1 / (x * x);
    return std::log(x) - log - 0.5 / x - square / 12 + square * square / 120 - below;
}

/// ψ′(x), x > 0
double trigamma(double x) {
    double below = 0;
    while (x < kLargeArgument) {
        below += 1 / (x * x);
        x += 1;
    }
    const double inverse = 1 / x, square = inverse * inverse;
    return below + inverse + square / 2 + square * inverse * (1.0 / 6 - square / 30);
}

/// The x whose ψ′ is `value`, which falls from ∞ to 0; x within [1e-3, 1e6].
double inverse_trigamma(double value) {
    double low = 1e-3, high = 1e6;
    while (high / low > 1 + 1e-12) {
        const double middle = std::sqrt(low * high);
        (trigamma(middle) > value ? low : high) = middle;
    }
    return low;
}

struct Moments {
    double mean = 0;
    double variance = 0;
};

/// Of the logarithms of what is not 0.
Moments log_moments(const std::vector<double>& values) {
    double n = 0, sum = 0, squares = 0;
    for (const double value : values) {
        if (!(value > 0)) continue;
        ++n;
        sum += std::log(value);
    }
    if (n == 0) return {};
    for (const double value : values)
        if (value > 0) squares += std::pow(std::log(value) - sum / n, 2);
    return {.mean = sum / n, .variance = squares / n};
}

}  // namespace

std::vector<double> shrunk(const std::vector<double>& estimates, double n_squares) {
    const Moments seen = log_moments(estimates);
    // Where they vary less than by luck, the truth is taken to be nearly the same for all.
    const double half = inverse_trigamma(seen.variance - trigamma(n_squares / 2)), degrees = 2 * half;
    const double common = std::exp(seen.mean - digamma_less_log(n_squares / 2) + digamma_less_log(half));
    std::vector<double> expected;
    for (const double estimate : estimates)
        expected.push_back(
            estimate > 0 ? (degrees * common + n_squares * estimate) / std::max(1.0, degrees + n_squares - 2) : 0);
    return expected;
}

}  // namespace plasticity
