#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "io/gguf_metadata.h"
#include "model/rope_layout.h"

namespace plasticity {

/// What one block holds. n_head == 0: no attention in this block, only the feed-forward part.
struct LayerGeometry {
    std::int32_t n_head = 0;     ///< query heads
    std::int32_t n_head_kv = 0;  ///< KV groups; divides n_head
    std::int32_t n_ff = 0;       ///< width of the feed-forward part, ≥ 1
    bool operator==(const LayerGeometry&) const = default;
};

/// How positions beyond the training context are squeezed. Names and meaning as in GGUF's `rope.scaling.*`.
struct RopeScaling {
    enum class Kind { kNone, kLinear, kYarn };
    Kind kind = Kind::kNone;
    float factor = 1.0f;
    float attention_factor = 1.0f;  ///< `rope.scaling.attn_factor`
    std::int32_t original_context_length = 0;
    float beta_fast = 32.0f;  ///< YaRN
    float beta_slow = 1.0f;   ///< YaRN
};

/// Of the gate in the feed-forward part.
enum class Activation {
    kSilu,
    kGelu,  ///< in its approximation by tanh
};

/// What the blocks of a family have, as data: the decoder is built from this and knows no family by name.
struct BlockFeatures {
    Activation activation = Activation::kSilu;
    bool query_key_norms = false;    ///< RMSNorm over each query and key head, before RoPE
    bool post_norms = false;         ///< RMSNorm of what attention and feed-forward part add to the residual stream
    std::int32_t no_rope_every = 0;  ///< every n-th block leaves queries and keys unrotated; 0: none does
    bool operator==(const BlockFeatures&) const = default;
};

/// Some blocks see only the last tokens.
struct SlidingWindow {
    std::int32_t n_tokens = 0;        ///< that a query sees, its own included; 0: all blocks see everything
    std::int32_t full_every = 0;      ///< every n-th block sees everything nevertheless
    float rope_freq_base = 10000.0f;  ///< of the blocks with the window; they know no RoPE scaling
};

/// Constant factors of a forward pass. 1: as if it were not there.
struct Multipliers {
    float embedding = 1.0f;      ///< on the embedding's rows
    float residual = 1.0f;       ///< on what attention and feed-forward part add to the residual stream
    float logit_divisor = 1.0f;  ///< logits are divided by it
    bool operator==(const Multipliers&) const = default;
};

/// A mixture of experts in place of every feed-forward part. count == 0: none.
struct Experts {
    std::int32_t count = 0;
    std::int32_t used = 0;  ///< for each token
    std::int32_t n_ff = 0;  ///< width of one expert
};

/// Everything about a decoder that is not a weight. Sizes are counts of elements.
struct Architecture {
    std::string name;        ///< GGUF's `general.architecture` when written: "llama", "qwen2", "deci", …
    std::string model_name;  ///< for people
    std::int32_t n_embd = 0;
    std::int32_t n_vocab = 0;
    std::int32_t head_dim = 0;
    std::int32_t n_rot = 0;  ///< rotated dimensions of a head; head_dim in all families here
    std::int32_t context_length = 0;
    float rms_norm_epsilon = 1e-5f;
    float rope_freq_base = 10000.0f;
    RopeScaling rope_scaling;
    RopeLayout rope_layout = RopeLayout::kNeox;  ///< of the weights as this source stores them
    float attention_scale = 0.0f;                ///< of q·k; 0 stands for 1/sqrt(head_dim)
    bool tied_embeddings = false;                ///< no output.weight: the embedding is used twice
    BlockFeatures features;
    SlidingWindow window;
    Multipliers multipliers;
    Experts experts;
    std::vector<LayerGeometry> layers;

    std::int32_t n_layer() const { return static_cast<std::int32_t>(layers.size()); }
    /// Every block has the geometry of the first.
    bool is_uniform() const;
    /// The block's queries see a window of tokens only.
    bool slides(std::int32_t layer) const;
    /// The block's queries and keys are rotated by position.
    bool rotates(std::int32_t layer) const;
};

/// Families this program knows, by their GGUF names, for messages.
std::string supported_architectures();

/// Geometry from GGUF metadata; `deci` carries per-layer arrays.
/// @throws Error (kMalformed) listing every problem found, or naming an unknown architecture with the known ones
Architecture architecture_from_gguf(const GgufMetadata& metadata, bool has_output_weight);

/// Geometry from a Hugging Face config.json (rope_layout kNeox).
/// @throws Error (kMalformed) as above
Architecture architecture_from_config(const nlohmann::json& config);

/// The inverses: the `<arch>.*` keys that stock llama.cpp needs (general.* not included), and a config.json.
void write_architecture(const Architecture& architecture, GgufMetadata& metadata);
/// @throws Error (kUsage) when geometry differs between layers: config.json has no way to say so
nlohmann::json config_from_architecture(const Architecture& architecture);

}  // namespace plasticity
