#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plasticity/export.h"
#include "plasticity/overwrite.h"
#include "plasticity/score_provenance.h"

namespace plasticity {

/// Σx² per input channel of every matrix, over tokens.
struct ChannelStatistics {
    std::vector<double> sum_of_squares;  ///< [cols of the matrix]
    std::int64_t count = 0;              ///< tokens
};

/// The diagonal Fisher information F of a matrix as its row and column sums, over sequences whose labels were drawn
/// from the model's own distribution. With L = Σ cross-entropy of a sequence, F_rc = Σ over sequences of (∂L/∂W_rc)²,
/// and independent errors ΔW raise the KL divergence from the model, in nats per target, by
///
///     ½ / count · Σ_rc F_rc ΔW_rc²,   F_rc ≈ rows_r · columns_c / Σ rows
///
/// ∂L/∂W_rc = Σ_t g_tr x_tc holds both what the matrix reads and how its outputs matter, token by token: a channel that
/// is huge only where nothing depends on it, as at the first token of many models, counts little.
struct CurvatureStatistics {
    std::vector<double> rows;     ///< [rows] Σ_c F_rc
    std::vector<double> columns;  ///< [cols] Σ_r F_rc
    /// Σ over sequences of (∂L/∂gate)², gates being on what the matrix reads: of an attention output [query head], of
    /// down [channel]; else empty, and in files that older programs wrote for down, too.
    std::vector<double> gates;
    std::int64_t count = 0;  ///< targets that labels were drawn for
};

/// Key of the embedding as it is read; where embeddings are tied, the matrix also has its own, as the output matrix.
PLASTICITY_API std::string lookup_key(std::string_view embedding_name);

/// Of statistics of one slice: everything that those of the others must have in common with it.
struct StatisticsOrigin {
    ScoreProvenance provenance;
    ScoreSlice slice;
    std::int32_t curvature_every = 0;
    std::uint64_t seed = 0;  ///< of the labels drawn
};

/// Activation statistics of a scoring run; saved in llama.cpp's imatrix GGUF form (`<name>.in_sum2`, `<name>.counts`),
/// which llama-quantize reads, and loaded from files that llama-imatrix wrote, which hold no curvature.
/// Source: llama.cpp, tools/imatrix/imatrix.cpp.
struct Statistics {
    std::map<std::string, ChannelStatistics> matrices;     ///< by GGUF name, "blk.0.attn_q.weight"
    std::map<std::string, CurvatureStatistics> curvature;  ///< likewise, and lookup_key("token_embd.weight")
    std::vector<std::string> datasets;
    std::int32_t chunk_size = 512;
    std::int64_t chunk_count = 0;
    std::optional<StatisticsOrigin> origin;  ///< nothing: not of a slice

    PLASTICITY_API const ChannelStatistics* find(std::string_view name) const;
    PLASTICITY_API const CurvatureStatistics* find_curvature(std::string_view name) const;
};

/// @throws Error (kUsage, kIo)
PLASTICITY_API void save_statistics(const Statistics& statistics, const std::filesystem::path& target,
                                    Overwrite overwrite);
/// @throws Error (kMissing; kMalformed: NaN, negative sums, counts that are no whole numbers)
PLASTICITY_API Statistics load_statistics(const std::filesystem::path& path);

}  // namespace plasticity
