#pragma once

#include <string>
#include <vector>

#include "artifact/gate_gradients.h"
#include "artifact/recipe.h"
#include "artifact/score_spread.h"

namespace plasticity {

/// Scores of one task, with what to call them.
struct NamedScores {
    std::string name;
    GateGradients gradients;
};

/// A heat map of layers × query heads as an SVG: one panel for each task, and for two a third of what they differ by.
/// @param tasks  one, or two of the same model
std::string score_map_svg(const std::vector<NamedScores>& tasks);

/// The scores that a recipe was made from as such a map, with a cross over every head that it removes.
/// @param topology  with a score for each of the base's heads in every layer
std::string kept_heads_svg(const Topology& topology);

/// The scores of one or two tasks side by side for a terminal, a row per layer and a character per query head.
/// @param maps  [task][layer][query head] in [0, 1]
std::string score_map_text(const std::vector<std::vector<std::vector<double>>>& maps);

/// The spread in words, then the heads that lie furthest apart.
std::string score_spread_text(const ScoreSpread& spread);

}  // namespace plasticity
