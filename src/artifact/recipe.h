#pragma once

#include <ggml.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/device.h"
#include "artifact/feed_forward_topology.h"
#include "artifact/padding.h"
#include "artifact/trial_record.h"
#include "io/atomic_file.h"
#include "io/gguf_metadata.h"
#include "model/architecture.h"
#include "model/tensor_names.h"

namespace plasticity {

class Model;

/// What stays of one block. Indices are the base model's.
struct LayerTopology {
    std::int32_t layer_index = 0;
    std::int32_t num_heads = 0;                            ///< retained query heads
    std::int32_t num_kv_heads = 0;                         ///< retained KV groups
    std::vector<std::int32_t> retained_head_indices;       ///< ascending
    std::vector<std::int32_t> retained_kv_head_indices;    ///< ascending
    std::vector<double> head_scores;                       ///< of every query head of the base
    std::optional<FeedForwardTopology> feed_forward = {};  ///< nothing: all channels of the feed-forward part stay
    bool operator==(const LayerTopology&) const = default;
};

struct Topology {
    std::string base_model;
    std::vector<LayerTopology> layers;
    std::int32_t original_num_heads = 0;     ///< per layer
    std::int32_t original_num_kv_heads = 0;  ///< per layer
    std::int32_t head_dim = 0;
    double parameter_reduction = 0;  ///< share of the base's parameters that is gone, [0, 1]
    std::string precision_profile;   ///< short text: "tiers: 12 high, 10 medium, 2 low"
    bool operator==(const Topology&) const = default;
};

/// A type for every tensor whose Hugging Face name matches; the first matching assignment counts.
struct QuantAssignment {
    std::string pattern;  ///< glob with `*` and `?`; `*` also spans dots
    ggml_type type = GGML_TYPE_F16;
    std::string reason;          ///< with its numbers
    bool error_feedback = true;  ///< where Gram matrices are given; written when false
    /// Length that rows are filled up to with zeros, so that whole blocks fit, for the own engine alone
    /// (model/column_padding.h); 0: as long as the model has them. Written where it is not 0.
    std::int32_t padded_columns = 0;
    bool operator==(const QuantAssignment&) const = default;
};

/// Bytes by part. total_bytes is the sum of all others but file_bytes.
struct Budget {
    std::uint64_t embedding_bytes = 0;  ///< embedding and output matrix
    std::uint64_t attention_bytes = 0;
    std::uint64_t mlp_bytes = 0;
    std::uint64_t norm_bytes = 0;
    std::uint64_t kv_cache_max_bytes = 0;
    std::uint64_t compute_bytes = 0;
    std::uint64_t total_bytes = 0;  ///< what the device must hold at run time
    std::uint64_t file_bytes = 0;   ///< exactly what compress writes
    std::uint64_t limit_bytes = 0;  ///< what the device or the target size allows
    bool operator==(const Budget&) const = default;
};

/// The plan: recipe.json. Deterministic: the same inputs give the same bytes.
struct Recipe {
    static constexpr int kSchemaVersion = 1;

    Topology topology;
    std::vector<QuantAssignment> tensor_quant_map;
    Padding padding;               ///< written where there is any
    std::string alignment;         ///< what decided for or against padding; empty where nothing had to be decided
    double equalization = 0;       ///< strength of channel scales (artifact/equalization.h); 0: none, and not written
    std::optional<Device> device;  ///< nothing when a file size was asked for
    Budget budget;
    std::string base_model;
    std::string base_model_sha256;  ///< as in the scores; empty when planned without
    std::string pipeline_version;
    std::string policy;                  ///< "tiers" or "optimal"
    std::string pruning;                 ///< what decided how many heads stay; empty where nothing had to be decided
    std::optional<double> predicted_kl;  ///< of the output from the base, nats per token; nothing under tiers
    bool counts_on_feedback = false;     ///< types were chosen as error feedback will leave them
    std::optional<double> predicted_kl_error;  ///< one standard error of predicted_kl; nothing without trials
    std::optional<double> predicted_damage;    ///< the sum that predicted_kl is without trials; nothing without them
    std::optional<Calibration> calibration;    ///< plans that were tried, and what predicted_kl follows from
    std::optional<Refinement> refinement;      ///< nothing where none was asked for
    std::int32_t context_length = 0;
    std::string kv_type = "f16";
    std::string output_architecture;  ///< "llama", "qwen3", "deci", …
    bool stock = true;                ///< stock llama.cpp loads the output
    std::string stock_reason;
    bool operator==(const Recipe&) const = default;

    /// @returns nullptr when no pattern matches
    const QuantAssignment* assignment_for(std::string_view hf_name) const;
    bool prunes() const;               ///< some layer keeps fewer heads or channels than the base has
    bool prunes_feed_forward() const;  ///< channels
    bool pads_columns() const;         ///< some assignment makes rows longer than the model has them: not stock
    /// "scaled by what they carry, strength 0.5"; empty where channels are as the base has them.
    std::string channels_text() const;
};

/// True when `name` matches `glob` whole.
bool glob_matches(std::string_view glob, std::string_view name);

/// recipe.json as text: keys in a fixed order, two spaces of indent, a final newline.
std::string recipe_to_json(const Recipe& recipe);
/// @param where  what the text is, for messages: a path, or "continuum.compression_recipe of x.gguf"
/// @throws Error (kMalformed: NaN, indices out of order, unknown keys or types, a newer schema)
Recipe recipe_from_json(std::string_view text, std::string_view where);

/// Metadata of a GGUF file that holds its recipe, as JSON text.
inline constexpr const char* kRecipeKey = "continuum.compression_recipe";
/// The recipe that a file's metadata hold; nothing where they hold none. @param path  of the file, for messages
/// @throws Error (kMalformed), as recipe_from_json does
std::optional<Recipe> embedded_recipe(const GgufMetadata& metadata, const std::filesystem::path& path);
/// Of an opened model; folders hold none.
std::optional<Recipe> embedded_recipe(const Model& model);

void save_recipe(const Recipe& recipe, const std::filesystem::path& target, Overwrite overwrite);
Recipe load_recipe(const std::filesystem::path& path);

/// The geometry that the recipe keeps of a model, before padding. Layers must agree.
Architecture kept_architecture(const Recipe& recipe, const Architecture& base);

/// The recipe is for this model: layer and head counts agree, its padding can be had (check_padding), every matrix has
/// an assignment, padded columns are said not to be stock and not asked of experts, each layer's retained query heads
/// are spread evenly over its retained KV groups (attention maps query head h to KV group h / (heads / groups)), and
/// lists of feed-forward channels are of the layer's own width.
/// @throws Error (kMalformed) with every problem found
void require_recipe_fits(const Recipe& recipe, const Architecture& architecture, std::string_view where);

}  // namespace plasticity
