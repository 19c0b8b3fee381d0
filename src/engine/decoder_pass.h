#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/backend.h"
#include "engine/kv_cache.h"
#include "engine/weights.h"

namespace plasticity {

/// Rows of logits computed at once: bounds memory for large vocabularies, and still fills the matrix product.
inline constexpr std::size_t kLogitRows = 64;

/// What a pass of tokens through all blocks is built from.
struct PassSource {
    PassWeights weights;
    const KvCache& cache;  ///< the tokens go behind what it holds
    bool exact = false;    ///< GraphScope::exact
};

/// Nodes of such a pass. Inputs are to be filled once the graph is prepared.
struct DecoderPass {
    ggml_tensor* ids;          ///< I32 {tokens}
    ggml_tensor* positions;    ///< I32 {tokens}
    ggml_tensor* mask;         ///< F16 {cells, tokens}
    ggml_tensor* window_mask;  ///< the same for blocks that see a window only; nullptr: there are none
    ggml_tensor* hidden;       ///< F32 {n_embd, tokens}: after the last norm
    std::int64_t window = 0;   ///< tokens of it

    /// Everything but ids. @param n_past  tokens before these
    void fill_positions(std::int64_t n_past) const;
};

DecoderPass build_pass(GraphWorkspace& graph, const PassSource& source, std::int64_t n_tokens);

struct LogitsPass {
    ggml_tensor* hidden;  ///< F32 {n_embd, tokens}
    ggml_tensor* logits;  ///< F32 {n_vocab, tokens}
};

LogitsPass build_logits_pass(GraphWorkspace& graph, const Architecture& architecture, ggml_tensor* output,
                             std::int64_t n_tokens);

}  // namespace plasticity
