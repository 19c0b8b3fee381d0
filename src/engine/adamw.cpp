#include "engine/adamw.h"

#include <cmath>

namespace plasticity {
namespace {

struct Values {
    std::vector<float>&values, &first, &second;
    const std::vector<float>& gradients;
};

struct Step {
    AdamWOptions options;
    double learning_rate;
    double bias1, bias2;  ///< 1 − β^steps: what moments that began at 0 lack

    void update(const Values& v) const {
        const double kept = 1 - learning_rate * options.weight_decay;
        for (std::size_t i = 0; i < v.values.size(); ++i) {
            const double g = double{v.gradients[i]};
            const double first = options.beta1 * double{v.first[i]} + (1 - options.beta1) * g;
            const double second = options.beta2 * double{v.second[i]} + (1 - options.beta2) * g * g;
            v.first[i] = static_cast<float>(first);
            v.second[i] = static_cast<float>(second);
            const double direction = first / bias1 / (std::sqrt(second / bias2) + options.epsilon);
            v.values[i] = static_cast<float>(double{v.values[i]} * kept - learning_rate * direction);
        }
    }
};

}  // namespace

AdamW::AdamW(const LoraAdapter& adapter, const AdamWOptions& options)
    : options_(options), state_{.n_steps = 0, .first = zero_gradients(adapter), .second = zero_gradients(adapter)} {}

void AdamW::step(LoraAdapter& adapter, std::span<const LoraGradient> gradients, double learning_rate) {
    const auto n = static_cast<double>(++state_.n_steps);
    const Step step{.options = options_,
                    .learning_rate = learning_rate,
                    .bias1 = 1 - std::pow(options_.beta1, n),
                    .bias2 = 1 - std::pow(options_.beta2, n)};
    for (std::size_t i = 0; i < adapter.matrices.size(); ++i) {
        LoraMatrix& matrix = adapter.matrices[i];
        step.update({matrix.a, state_.first[i].a, state_.second[i].a, gradients[i].a});
        step.update({matrix.b, state_.first[i].b, state_.second[i].b, gradients[i].b});
    }
}

}  // namespace plasticity
