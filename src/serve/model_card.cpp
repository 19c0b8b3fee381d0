#include "serve/model_card.h"

#include <ggml.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "artifact/json_text.h"
#include "artifact/recipe.h"
#include "core/error.h"
#include "io/gguf_reader.h"

namespace plasticity {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kMatrices{std::pair{TensorRole::kQuery, "q"},   std::pair{TensorRole::kKey, "k"},
                               std::pair{TensorRole::kValue, "v"},   std::pair{TensorRole::kAttentionOutput, "o"},
                               std::pair{TensorRole::kGate, "gate"}, std::pair{TensorRole::kUp, "up"},
                               std::pair{TensorRole::kDown, "down"}};

/// One that cannot be read says nothing about the weights, which have been checked.
std::optional<Recipe> recipe_of(const Model& model) {
    try {
        return embedded_recipe(model);
    } catch (const Error&) {
        return std::nullopt;
    }
}

Json type_of(const Model& model, const TensorId& id) {
    const ModelTensor* tensor = model.find(id);
    return tensor != nullptr ? Json(ggml_type_name(tensor->type)) : Json(nullptr);
}

Json layer_json(const Model& model, const std::optional<Recipe>& recipe, std::size_t index) {
    const LayerGeometry& geometry = model.architecture().layers[index];
    Json layer{{"heads", geometry.n_head},       {"heads_removed", 0},
               {"kv_heads", geometry.n_head_kv}, {"kv_heads_removed", 0},
               {"feed_forward", geometry.n_ff},  {"feed_forward_removed", 0},
               {"types", Json::object()}};
    for (const auto& [role, name] : kMatrices) {
        Json type = type_of(model, {role, static_cast<int>(index)});
        if (!type.is_null()) layer["types"][name] = std::move(type);
    }
    if (!recipe || index >= recipe->topology.layers.size()) return layer;
    const LayerTopology& kept = recipe->topology.layers[index];
    layer["heads_removed"] = recipe->topology.original_num_heads - kept.num_heads;
    layer["kv_heads_removed"] = recipe->topology.original_num_kv_heads - kept.num_kv_heads;
    if (kept.feed_forward)
        layer["feed_forward_removed"] = kept.feed_forward->original_channels - kept.feed_forward->n_retained();
    return layer;
}

Json recipe_summary(const Recipe& recipe) {
    return {{"policy", recipe.policy},
            {"base_model", recipe.base_model},
            {"predicted_kl", recipe.predicted_kl ? Json(*recipe.predicted_kl) : Json(nullptr)},
            {"parameter_reduction", recipe.topology.parameter_reduction},
            {"precision_profile", recipe.topology.precision_profile},
            {"stock", recipe.stock}};
}

}  // namespace

std::string model_card(const Model& model) {
    const Architecture& architecture = model.architecture();
    const std::optional<Recipe> recipe = recipe_of(model);
    const std::uint64_t parameters = weight_count(model);
    std::uint64_t weight_bytes = 0;
    for (const ModelTensor& tensor : model.tensors()) weight_bytes += tensor.bytes();
    Json card{{"name", architecture.model_name},
              {"architecture", architecture.name},
              {"file_bytes", source_bytes(model)},
              {"parameters", parameters},
              {"bits_per_weight", 8.0 * static_cast<double>(weight_bytes) / static_cast<double>(parameters)},
              {"context_length", architecture.context_length},
              {"embedding_type", type_of(model, {TensorRole::kTokenEmbedding})},
              {"output_type", type_of(model, {TensorRole::kOutput})},
              {"layers", Json::array()},
              {"recipe", recipe ? recipe_summary(*recipe) : Json(nullptr)}};
    for (std::size_t i = 0; i < architecture.layers.size(); ++i) card["layers"].push_back(layer_json(model, recipe, i));
    return json_line(card);
}

}  // namespace plasticity
