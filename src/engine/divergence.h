#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "artifact/quality.h"

namespace plasticity {

/// What one position says of a model beside its base. Nats.
struct PositionOutcome {
    double kl = 0;                 ///< Σ p_base (ln p_base − ln p_model)
    double base_nll = 0, nll = 0;  ///< −ln of the probabilities that the next token of the text has
    bool same_top = false;         ///< both have the same most likely token
};

/// @param base, model  logits, [n_vocab] each  @param next  the token that follows in the text
PositionOutcome compare_position(std::span<const float> base, std::span<const float> model, std::int32_t next);

/// Σ p_base (ln p_base − ln p_model) of one position, nats. @param base, model  logits, [n_vocab] each
double kl_divergence(std::span<const float> base, std::span<const float> model);

/// ln softmax of one row at `token`, in double.
double log_softmax_at(std::span<const float> logits, std::int32_t token);

/// −Σ p ln p of one row of logits, nats: 0 where one token is certain, ln n_vocab where all are alike.
double entropy(std::span<const float> logits);

/// The figures of a text. @param outcomes  [chunks][per_chunk], in the text's order, at least one chunk
QualityPanel summarize(std::span<const PositionOutcome> outcomes, std::size_t per_chunk);

}  // namespace plasticity
