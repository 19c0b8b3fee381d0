#pragma once

#include <ggml-cpp.h>
#include <ggml.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "artifact/recipe.h"
#include "engine/backend.h"
#include "model/model.h"

namespace plasticity {

/// How the output of a recipe holds a matrix.
struct MatrixForm {
    ggml_type type = GGML_TYPE_F16;
    std::int64_t width = 0;          ///< of its rows: without pruned columns, with padding
    std::vector<std::int64_t> kept;  ///< columns of the base that stay, ascending; empty: all

    bool keeps_rows(const ModelTensor& matrix) const { return kept.empty() && width == matrix.cols; }
    /// Short, and another for every other form: a key.
    std::string text() const;
    bool operator==(const MatrixForm&) const = default;
};

MatrixForm form_of(const Recipe& recipe, const ModelTensor& matrix, const Architecture& base);

/// A matrix in the shape of the base, for the engine, as a form makes it.
struct TrialMatrix {
    ggml_context_ptr context;
    ggml_backend_buffer_ptr buffer;
    ggml_tensor* tensor = nullptr;
    std::uint64_t bytes() const { return ggml_nbytes(tensor); }
};

struct TrialMatrixOptions {
    std::span<const float> importance;  ///< [cols of the base], or empty
    int threads = 0;
};

/// Quantises as compress does without Gram matrices. The blocks themselves serve where rows keep their columns: what
/// engines lose by rounding activations for them is then the same as with the finished file, nothing is dequantised,
/// and a matrix takes the bytes of its type. Else F16 with the values that the blocks stand for, zeros in pruned
/// columns: that takes heads out exactly, and padding adds nothing. Rows of pruned heads stay, for nothing reads them.
/// @throws Error (kMalformed, kIo), Interrupted
TrialMatrix make_trial_matrix(const Model& model, const ModelTensor& matrix, const MatrixForm& form,
                              const Backend& backend, const TrialMatrixOptions& options);

}  // namespace plasticity
