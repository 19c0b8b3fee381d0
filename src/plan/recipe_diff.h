#pragma once

#include <ggml.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "artifact/recipe.h"

namespace plasticity {

/// Something that both recipes state, differently; as text, empty where one does not state it.
struct StatementDiff {
    std::string what;
    std::string a;
    std::string b;
};

/// A block that keeps other heads or other channels of its feed-forward part. Indices are the base model's.
struct LayerDiff {
    std::int32_t layer = 0;
    std::vector<std::int32_t> heads_only_in_a;
    std::vector<std::int32_t> heads_only_in_b;
    std::vector<std::int32_t> kv_heads_only_in_a;
    std::vector<std::int32_t> kv_heads_only_in_b;
    std::int32_t n_channels_only_in_a = 0;
    std::int32_t n_channels_only_in_b = 0;
};

/// A matrix that gets another type; nothing where a recipe does not name the matrix.
struct TypeDiff {
    std::string matrix;  ///< Hugging Face name
    std::optional<ggml_type> a;
    std::optional<ggml_type> b;
};

/// How two plans for models of one shape differ.
struct RecipeDiff {
    std::vector<StatementDiff> statements;
    std::vector<LayerDiff> layers;
    std::vector<TypeDiff> types;

    bool empty() const { return statements.empty() && layers.empty() && types.empty(); }
};

/// Reasons and scores are not compared: they follow from the rest, and from what the plans were made from.
/// @throws Error (kUsage) for models of another number of blocks, or of heads in them
RecipeDiff diff(const Recipe& a, const Recipe& b);

/// For a terminal: what is stated differently, then blocks, then types by the step taken, with the matrices of each.
std::string diff_text(const RecipeDiff& difference);

}  // namespace plasticity
