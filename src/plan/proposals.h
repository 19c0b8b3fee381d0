#pragma once

#include <map>
#include <string>
#include <vector>

#include "plan/fit.h"

namespace plasticity {

/// Another plan of the same size, to be tried.
struct Proposal {
    std::string change;                     ///< in words: "attn_v counts × 1.5"
    std::map<std::string, double> weights;  ///< of all matrices, by GGUF name
    Recipe recipe;
    double expected_gain = 0;  ///< nats per token, above 0
};

/// The types that a recipe gives, as one line: recipes with the same are the same plan.
std::string types_text(const Recipe& recipe, const Model& model);

/// Plans that are worth a trial, the largest expected gain first.
///
/// Predictions are off by some factor for each matrix, of which those of one role, and those of one block, share a
/// part. So what is proposed is: the matrices of a role, of a block, or one matrix, count half as much again or a third
/// less than predicted; the knapsack is then solved anew. That raises some by a rung or more and pays for it with
/// others, within the exact size of the file. If ln of the factor is normal with a spread of 0.3, the change moves an
/// amount of damage Δ whose true value has the spread 0.3 Δ, and costs L by prediction: the expected gain is
/// 0.3 Δ · φ(z) − L · Φ(−z), z = L / (0.3 Δ), of trying it and keeping it where it gains (Jones et al. 1998, "Efficient
/// Global Optimization"). Near-ties (small L) that move much come first.
/// @param current  made with inputs.findings->weights
std::vector<Proposal> propose(const PlanInputs& inputs, const HeadPruning& heads, const Recipe& current);

}  // namespace plasticity
