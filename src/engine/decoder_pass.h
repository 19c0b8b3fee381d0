#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend.h"
#include "engine/kv_cache.h"
#include "engine/lora_graph.h"
#include "engine/weights.h"

namespace plasticity {

/// Rows of logits computed at once: bounds memory for large vocabularies, and still fills the matrix product.
inline constexpr std::size_t kLogitRows = 64;

/// Tokens of one sequence, which go behind what its cache holds. They see nothing of other sequences.
struct PassSequence {
    const KvCache* cache = nullptr;
    std::int64_t n_tokens = 0;         ///< at least one
    std::int64_t n_wanted = n_tokens;  ///< the last ones, whose hidden states are to come out

    std::int64_t n_cells() const { return cache->cells(n_tokens); }
};

/// What a pass of tokens through all blocks is built from.
struct PassSource {
    PassWeights weights;
    std::span<const PassSequence> sequences;  ///< their tokens lie one behind the other in the pass
    bool exact = false;                       ///< GraphScope::exact
    std::span<const LayerLora> lora = {};     ///< one for each block; empty: no adapter
};

/// Where the tokens of one sequence are stored, and what they see: its own cells.
struct PassCells {
    const KvCache* cache;
    ggml_tensor* stored;  ///< I64 {tokens}
    ggml_tensor* mask;    ///< F16 {cells, tokens}
    ggml_tensor* window;  ///< the same for blocks that see a window only; nullptr: there are none
    std::int64_t n_wanted;
};

/// Nodes of such a pass. Inputs are to be filled once the graph is prepared, and before each run of it.
struct DecoderPass {
    ggml_tensor* ids;              ///< I32 {tokens}
    ggml_tensor* positions;        ///< I32 {tokens}: of each in its own sequence
    std::vector<PassCells> cells;  ///< of each sequence
    ggml_tensor* wanted;           ///< I32 {wanted tokens}: their indices in the pass; nullptr: all are
    ggml_tensor* hidden;           ///< F32 {n_embd, wanted tokens}: after the last norm
    std::int64_t window = 0;       ///< tokens of it

    /// @param of_tokens  their ids
    void fill_inputs(std::span<const std::int32_t> of_tokens) const;
    /// Is the pass that would be built for these sequences this one?
    bool serves(std::span<const PassSequence> sequences) const;
};

/// Matrix products take the tokens of all sequences at once; attention is each sequence's own. What follows the last
/// attention is computed for the wanted tokens only: at least one of the pass.
DecoderPass build_pass(GraphWorkspace& graph, const PassSource& source);

struct LogitsPass {
    ggml_tensor* output;  ///< the matrix that gives them
    ggml_tensor* hidden;  ///< F32 {n_embd, tokens}
    ggml_tensor* logits;  ///< F32 {n_vocab, tokens}
};

LogitsPass build_logits_pass(GraphWorkspace& graph, const Architecture& architecture, ggml_tensor* output,
                             std::int64_t n_tokens);

}  // namespace plasticity
