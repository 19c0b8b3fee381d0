#pragma once

#include <ggml.h>

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/gram.h"
#include "artifact/statistics.h"
#include "core/progress.h"
#include "model/model.h"

namespace plasticity {

/// What each type would cost every matrix: KL divergence from the model in nats per token, to second order.
class DamageTable {
public:
    void set(const std::string& matrix, ggml_type type, double damage) { damages_[matrix][type] = damage; }
    /// @throws Error (kInternal) when it was not measured
    double of(std::string_view matrix, ggml_type type) const;
    bool knows(std::string_view matrix, ggml_type type) const;
    std::vector<ggml_type> types_of(std::string_view matrix) const;  ///< that were measured
    std::vector<std::string> matrices() const;                       ///< that were measured, in order of their names
    /// Takes over what another table knows.
    void add(const DamageTable& other);

private:
    std::map<std::string, std::map<ggml_type, double>, std::less<>> damages_;
};

/// A matrix, and the types that it may get. Rows that a type's blocks do not divide are padded with zeros.
struct DamageQuestion {
    const ModelTensor* matrix = nullptr;
    std::vector<ggml_type> types;
};

struct DamageOptions {
    /// Rows of every matrix that are really quantised. The error of a matrix' sum is then some percent.
    std::size_t rows = 256;
    int threads = 0;  ///< 0: all processors; the result does not depend on it
    /// Where compress will have Gram matrices: types are then measured with error feedback.
    GramSource gram;
};

/// ½ / count · (∂L/∂gate)² of each gate: what the KL divergence rises by when it closes, to second order.
/// @param curvature  of an attention output, whose gates are on heads, or of down, whose gates are on channels
std::vector<double> gate_damage(const CurvatureStatistics& curvature);

/// Sequences that a curvature was summed over, as far as `count` tells: at least 1.
double sequence_count(const Statistics& statistics, const CurvatureStatistics& curvature);

/// The statistics say how the loss bends for this matrix, in every use of it.
bool has_curvature(const Statistics& statistics, const Model& model, const ModelTensor& matrix);

/// Quantises a sample of every matrix' rows as compress would, and weighs the errors by the curvature:
/// ½ / count · Σ_rc rows_r / (Σ rows) · columns_c · ΔW_rc² (artifact/statistics.h). Reads only the sampled rows.
/// With Gram matrices, times the share of output error that error feedback leaves of a quarter of them; on other text
/// than that the matrices are of, of what it gains tokens ÷ (tokens + channels) is counted on. The rows that an
/// embedding is looked up by do not gain, they only bear the errors.
/// @throws Error (kInternal without has_curvature; kMalformed, kIo), Interrupted
DamageTable measure_damage(const Model& model, const Statistics& statistics,
                           const std::vector<DamageQuestion>& questions, const DamageOptions& options,
                           Progress& progress);

}  // namespace plasticity
