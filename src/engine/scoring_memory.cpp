#include "engine/scoring_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "core/units.h"
#include "engine/layer_backward.h"

namespace plasticity {
namespace {

/// Tokens that pass while a part of the weights is held: few enough for progress and checkpoints, many enough that
/// reading the weights twice is little beside computing with them.
constexpr std::int64_t kFewestTokens = 4096, kMostTokens = 32768;

/// Of one token: what enters each block and the last norm, and two gradients.
std::uint64_t stash_bytes_per_token(const Architecture& a) {
    return sizeof(float) * static_cast<std::uint64_t>((a.n_layer() + 3) * a.n_embd);
}

/// What shows a layer's curvature: a weight gradient in two copies, and what it is a product of.
std::uint64_t curvature_bytes(const Architecture& a, std::int64_t n_tokens) {
    std::int64_t entries = 0, widest = a.n_embd;
    for (const LayerGeometry& layer : a.layers) {
        const std::int64_t width = std::max(std::int64_t{layer.n_ff}, std::int64_t{a.head_dim} * layer.n_head);
        widest = std::max(widest, width);
        entries = std::max(entries, std::min(kGradientEntries, width * a.n_embd));
    }
    return sizeof(float) * static_cast<std::uint64_t>(2 * entries + 12 * widest * n_tokens);
}

/// Of one example in all blocks that the CPU computes.
std::uint64_t activation_bytes(const Architecture& a, const Offload& offload, std::int64_t n_tokens) {
    std::uint64_t bytes = 0;
    for (std::size_t layer = 0; layer < a.layers.size(); ++layer)
        if (offload.layer(static_cast<std::int32_t>(layer)) == Place::kCpu)
            bytes += kept_forward_bytes(a, a.layers[layer], n_tokens);
    return bytes;
}

struct WeightBytes {
    std::uint64_t all = 0;      ///< that the CPU holds
    std::uint64_t largest = 0;  ///< part of them
};

WeightBytes weight_bytes(const Model& model, const Offload& offload, const ScoringMemoryRequest& request) {
    const OffloadSizes sizes = weight_sizes(model, {.precision = request.precision, .backward = request.backward});
    WeightBytes bytes;
    const auto add = [&](Place place, std::uint64_t part) {
        if (place == Place::kDevice) return;
        bytes.all += part;
        bytes.largest = std::max(bytes.largest, part);
    };
    for (std::size_t layer = 0; layer < sizes.layers.size(); ++layer)
        add(offload.layer(static_cast<std::int32_t>(layer)), sizes.layers[layer]);
    add(offload.of({TensorRole::kOutput}), sizes.output);
    const ModelTensor& embedding = model.require({TensorRole::kTokenEmbedding});
    const ggml_type type = held_type(embedding, request.precision);
    if (!sizes.tied)
        add(Place::kCpu,
            static_cast<std::uint64_t>(embedding.rows) * ggml_row_size(type, held_row_length(embedding, type)));
    return bytes;
}

}  // namespace

std::uint64_t scoring_graph_bytes(const Architecture& a, std::int64_t n_tokens) {
    std::int64_t largest = 4 * kLossRows * a.n_vocab;
    for (const LayerGeometry& layer : a.layers) {
        const std::int64_t heads = std::int64_t{a.head_dim} * (layer.n_head + 2 * layer.n_head_kv);
        const std::int64_t per_token = 6 * layer.n_head * n_tokens + 12 * heads + 10 * layer.n_ff + 24 * a.n_embd;
        largest = std::max(largest, per_token * n_tokens);
    }
    return sizeof(float) * static_cast<std::uint64_t>(largest);
}

ScoringMemory plan_scoring_memory(const Model& model, const Offload& offload, const ScoringMemoryRequest& request) {
    const Architecture& architecture = model.architecture();
    const WeightBytes weights = weight_bytes(model, offload, request);
    const auto longest = static_cast<std::uint64_t>(request.longest_example);
    ScoringMemory memory{.weights = weights.all,
                         .working = scoring_graph_bytes(architecture, request.longest_example) +
                                    curvature_bytes(architecture, request.longest_example),
                         .stash = std::numeric_limits<std::uint64_t>::max(),
                         .stash_per_token = stash_bytes_per_token(architecture)};
    const std::uint64_t activations = activation_bytes(architecture, offload, request.longest_example);
    const std::uint64_t others = request.reserved + memory.working;
    const std::uint64_t staying = others + weights.all + longest * memory.stash_per_token;
    if (!request.limit || staying + activations <= *request.limit) memory.activations = activations;
    if (!request.limit || staying <= *request.limit) return memory;

    memory.streamed = true;
    memory.weights = weights.largest;
    if (others + weights.largest > *request.limit)
        throw Error(ErrorKind::kInfeasible,
                    fmt::format("score: {} of memory; expected {} at least: {} for one part of the weights at {}{}, "
                                "{} to compute with examples of {} tokens, {} for the rest of the "
                                "program. Allow more --memory, or shorten examples with --chunk",
                                format_bytes(*request.limit), format_bytes(others + weights.largest),
                                format_bytes(weights.largest), weight_precision_name(request.precision),
                                request.backward == BackwardMatrices::kTransposed ? " in both orders" : "",
                                format_bytes(memory.working), request.longest_example, format_bytes(request.reserved)));
    memory.stash = *request.limit - others - weights.largest;
    memory.tokens_at_once =
        std::clamp(static_cast<std::int64_t>(memory.stash / memory.stash_per_token), kFewestTokens, kMostTokens);
    return memory;
}

}  // namespace plasticity
