#pragma once

#include <cstdint>

#include "model/architecture.h"

namespace plasticity {

/// Run-time memory for activations, in bytes: the largest set of F32 buffers alive at once while a batch of
/// B = min(512, context) tokens passes one block, plus what outlives blocks.
///
///     B · (2·n_embd                                  residual stream and its normalised copy
///          + max(attention, feed-forward) over blocks)
///       attention     2·n_head·d + 2·n_head_kv·d + n_head·context + context   q, result, k, v, scores, mask
///       feed-forward  3·n_ff                                                   gate, up, their product
///     + n_vocab                                                                logits of one token
///
/// Engines that fuse attention need less: the scores are then never whole.
std::uint64_t compute_bytes(const Architecture& architecture, std::int32_t context_length);

}  // namespace plasticity
