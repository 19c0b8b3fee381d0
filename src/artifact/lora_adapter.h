#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/architecture.h"
#include "model/tensor_names.h"

namespace plasticity {

/// The adapter of one matrix W, [rows][cols]. Rows lie as the model's source stores them (RopeLayout).
struct LoraMatrix {
    TensorId id;
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    std::vector<float> a;  ///< [rank][cols]
    std::vector<float> b;  ///< [rows][rank]
};

/// Low-rank changes of a model's matrices, y = W x + (alpha / rank) · B A x.
/// Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".
struct LoraAdapter {
    std::int32_t rank = 0;
    double alpha = 0;
    std::vector<LoraMatrix> matrices;  ///< block by block, in the order of lora_roles() within one

    double scale() const { return alpha / rank; }
    /// Of one block.
    std::span<const LoraMatrix> of_layer(int layer) const;
    /// nullptr where the matrix has no adapter.
    const LoraMatrix* find(const TensorId& id) const;
    /// What modules are adapted, in any block, in the order of lora_roles().
    std::vector<TensorRole> targets() const;
    /// Over scale, names and values.
    std::string sha256() const;
};

inline constexpr std::int32_t kMaxLoraRank = 4096;

/// Every matrix of a block that can have an adapter: q, k, v, o, gate, up, down.
std::span<const TensorRole> lora_roles();
/// "q,k,v,o" ↔ roles. @throws Error (kUsage)
std::vector<TensorRole> parse_lora_targets(std::string_view text);
/// As Hugging Face calls it: "q_proj".
std::string lora_module_name(TensorRole role);

/// Adapters of the given roles in every block that has them, all zero.
LoraAdapter empty_adapter(const Architecture& architecture, std::span<const TensorRole> roles, std::int32_t rank,
                          double alpha);

/// Rows and columns of a matrix of a block; nothing where the block has none such.
struct MatrixShape {
    std::int64_t rows = 0, cols = 0;
};
MatrixShape lora_shape(const Architecture& architecture, const TensorId& id);

}  // namespace plasticity
