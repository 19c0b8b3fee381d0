#pragma once

#include <string>

#include "model/model.h"

namespace plasticity {

/// What the chat page shows of a model, as JSON text: name, file size, bits per weight; of every layer its heads and
/// feed-forward width, what the recipe removed of them, and the types of its matrices; and the recipe's own figures
/// where the file carries one (continuum.compression_recipe).
///
///     {"name", "architecture", "file_bytes", "parameters", "bits_per_weight", "context_length", "embedding_type",
///      "output_type", "layers": [{"heads", "heads_removed", "kv_heads", "kv_heads_removed", "feed_forward",
///      "feed_forward_removed", "types": {"q": "q4_K", …}}], "recipe": {"policy", "base_model", "predicted_kl",
///      "parameter_reduction", "precision_profile", "stock"} | null}
std::string model_card(const Model& model);

}  // namespace plasticity
