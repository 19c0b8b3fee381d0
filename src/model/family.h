#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/architecture.h"
#include "model/architecture_keys.h"
#include "model/config_reader.h"
#include "model/family_list.h"
#include "model/tensor_names.h"

namespace plasticity {

/// One source tensor that holds several weights, one behind the other along the rows.
struct FusedTensor {
    std::string_view gguf;  ///< within a block: "attn_qkv"
    std::string_view hf;    ///< within a block: "self_attn.qkv_proj"
    std::vector<TensorRole> parts;
};

/// What distinguishes one family of decoders. Adding one is one file in families/ that defines
/// `const Family& families::<file name>()`: the build collects them, and nothing else names them.
///
/// Readers fill in what all families share before they call a family's function, and check the whole afterwards.
struct Family {
    std::string_view name;  ///< for people
    std::string_view gguf;  ///< `general.architecture` of its files; empty: it has none of its own
    /// `general.architecture` that its models are written as: another family's where the graphs are the same.
    std::string_view form;
    std::string_view model_type;  ///< in config.json; empty: no such folders
    std::string_view hf_class;    ///< "architectures" in config.json
    RopeLayout gguf_rope_layout = RopeLayout::kNorm;

    BlockFeatures features;
    std::string_view activation_key = "hidden_act";  ///< in config.json
    bool per_layer_counts = false;                   ///< GGUF keys hold an array of heads and widths, one entry a block
    bool heads_fill_embedding = false;               ///< its stock loader insists on n_head · head_dim == n_embd
    bool ignores_rope_factors = false;               ///< its stock graph leaves rope_freqs.weight aside
    bool norms_are_offsets = false;                  ///< Hugging Face checkpoints store RMSNorm weights minus 1
    bool scales_by_width = false;  ///< its stock graph derives factors from the embedding width, which no key says
    bool has_windows = false;      ///< read_config looks at sliding windows; otherwise they are refused
    std::vector<RoleSpelling> hf_spellings;  ///< where its checkpoints call a role by another name
    std::vector<FusedTensor> fused;
    /// model_type of the config.json that its models are exported with, without and with biases on q, k and v;
    /// empty: its own, and no biases.
    std::string_view export_type;
    std::string_view biased_export_type;

    void (*read_config)(const ConfigReader& config, Architecture& architecture) = nullptr;
    void (*write_config)(const Architecture& architecture, nlohmann::json& config) = nullptr;
    void (*read_keys)(const ArchitectureKeys& keys, Architecture& architecture) = nullptr;
    void (*write_keys)(const Architecture& architecture, const ArchitectureKeyWriter& keys) = nullptr;
};

/// nullptr for names that no family has.
const Family* family_of_gguf(std::string_view architecture);
const Family* family_of_model_type(std::string_view model_type);

/// The family whose files carry `architecture`; for names that were checked when the model was opened.
const Family& family_of(const Architecture& architecture);

/// The source of a Hugging Face folder. @throws Error (kMalformed) naming the unknown model_type and the known ones
const Family& family_of_config(const nlohmann::json& config);

/// Names for messages: "llama, qwen2, …".
std::string known_gguf_architectures();
std::string known_model_types();

}  // namespace plasticity
