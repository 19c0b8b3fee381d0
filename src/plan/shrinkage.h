#pragma once

#include <vector>

namespace plasticity {

/// What is to be expected of quantities that were each estimated as a mean of few squares. The smallest of many such
/// estimates are small by luck, too: whoever picks them and believes them is disappointed. So each is drawn towards
/// what they have in common, the more the fewer squares it is of: with ν squares an estimate s is the truth times χ²_ν
/// ÷ ν, truths are supposed to be d₀ s₀² ÷ χ²_d₀, with d₀ and s₀² as the mean and the variance of log s have it, and
/// the truth is then expected at (d₀ s₀² + ν s) ÷ (d₀ + ν − 2). The order stays. Zeros stay zeros, and say nothing of
/// the others. Source: Smyth 2004, "Linear models and empirical Bayes methods for assessing differential expression",
/// section 6.2.
///
/// Qwen2.5-Coder, 4,096 tokens in 8 sequences, KL on other text once the 34 and 68 heads of lowest scores are gone:
/// 0.5B 0.077 and 0.191; by their estimates 0.055 and 0.135, by this 0.071 and 0.163. 1.5B 0.157 and 0.422; 0.069 and
/// 0.169, 0.094 and 0.214. A fiftieth of the 0.5B's channels: 0.0134; 0.0026, 0.0065.
/// @param estimates  ≥ 0
/// @param n_squares  that each is a mean of, ≥ 1
std::vector<double> shrunk(const std::vector<double>& estimates, double n_squares);

}  // namespace plasticity
