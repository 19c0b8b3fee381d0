#include "engine/adamw.h"

#include <cmath>

namespace plasticity {
namespace {

struct Moments {
    std::vector<float>&first, &second;
};

struct Step {
    AdamWOptions options;
    double learning_rate;
    double bias1, bias2;  ///< 1 − β^steps: what moments that began at 0 lack

    void update(const TrainedArray& array, const Moments& moments) const {
        const double kept = 1 - learning_rate * options.weight_decay;
        for (std::size_t i = 0; i < array.values.size(); ++i) {
            const double g = double{array.gradients[i]};
            const double first = options.beta1 * double{moments.first[i]} + (1 - options.beta1) * g;
            const double second = options.beta2 * double{moments.second[i]} + (1 - options.beta2) * g * g;
            moments.first[i] = static_cast<float>(first);
            moments.second[i] = static_cast<float>(second);
            const double direction = first / bias1 / (std::sqrt(second / bias2) + options.epsilon);
            array.values[i] = static_cast<float>(double{array.values[i]} * kept - learning_rate * direction);
        }
    }
};

}  // namespace

AdamW::AdamW(std::span<const std::size_t> sizes, const AdamWOptions& options) : options_(options) {
    for (const std::size_t size : sizes) state_.first.emplace_back(size, 0.0f);
    state_.second = state_.first;
}

void AdamW::step(std::span<const TrainedArray> arrays, double learning_rate) {
    const auto n = static_cast<double>(++state_.n_steps);
    const Step step{.options = options_,
                    .learning_rate = learning_rate,
                    .bias1 = 1 - std::pow(options_.beta1, n),
                    .bias2 = 1 - std::pow(options_.beta2, n)};
    for (std::size_t i = 0; i < arrays.size(); ++i) step.update(arrays[i], {state_.first[i], state_.second[i]});
}

}  // namespace plasticity
