#pragma once

#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "artifact/output_selection.h"
#include "artifact/recipe.h"
#include "io/gguf_writer.h"
#include "model/model.h"

namespace plasticity {

/// Metadata key of the sources' hashes, a string for each of the model's files.
inline constexpr const char* kSourceHashesKey = "continuum.source_sha256";

/// One tensor of the output and where it comes from. A vector (norm, bias) has one row: its elements lie along `cols`.
struct OutputTensor {
    const ModelTensor* source = nullptr;
    GgufTensorSpec spec;
    std::vector<std::int64_t> rows;  ///< source row for each output row, in order, or kZeros; empty: all as they are
    std::vector<std::int64_t> cols;  ///< source column for each output column, or kZeros; empty: all as they are
    float scale = 1.0f;              ///< on every value: of a norm whose width is padded

    std::int64_t n_rows() const { return rows.empty() ? source->rows : std::ssize(rows); }
    std::int64_t n_cols() const { return cols.empty() ? source->cols : std::ssize(cols); }
    bool loses_cols() const;  ///< a source column is not in the output
};

/// What compress will write, known before a weight is read. Used to budget, to write and to verify.
struct OutputLayout {
    Architecture architecture;  ///< of the output: pruned and padded geometry, its RoPE layout
    GgufLayout file;            ///< with all metadata; specs of `tensors` in the same order
    std::vector<OutputTensor> tensors;
};

struct OutputOptions {
    bool with_tokenizer = true;
};

/// Lays the output out in the form that stock llama.cpp takes (model/stock_form.h): the model's own architecture, or
/// `deci` where head counts or feed-forward widths differ between layers (query and key rows then move to the NORM
/// layout). Padding is zeros behind what there is, for heads behind those of each KV group. What pads columns of single
/// matrices is no stock form: the file then says so (`continuum.padded_columns`, model/column_padding.h).
/// Metadata: general.*, <arch>.*, tokenizer.*, and `continuum.compression_recipe` (the recipe's JSON text),
/// `continuum.per_layer_head_counts`, `continuum.per_layer_kv_head_counts` (int32 arrays),
/// `continuum.utilization_scores` (float32 array, layers × base heads, row-major), where feed-forward channels go
/// `continuum.per_layer_feed_forward_lengths` (int32 array, before padding), `continuum.source_sha256` (strings,
/// one for each of the model's files: zeros until state_sources() fills them in, so that the size is right before).
/// @throws Error (kMalformed) when the recipe does not fit the model, a type's blocks do not fit a row, or padded
/// columns are not what they want
OutputLayout lay_out(const Model& model, const Recipe& recipe, const OutputOptions& options);

/// Fills in `continuum.source_sha256`. @param sha256  of each of the model's files, 64 hex digits
void state_sources(OutputLayout& layout, std::vector<std::string> sha256);

/// Run-time memory beside the weights, in bytes.
/// KV cache: Σ over layers of 2 · n_head_kv · head_dim · context elements of `kv_type`.
std::uint64_t kv_cache_bytes(const Architecture& architecture, std::int32_t context_length, ggml_type kv_type);

}  // namespace plasticity
