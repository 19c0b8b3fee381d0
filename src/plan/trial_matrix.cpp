#include "plan/trial_matrix.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/parallel.h"
#include "io/dequantize.h"
#include "quant/block_quantizer.h"

namespace plasticity {
namespace {

constexpr std::int64_t kTileElements = std::int64_t{1} << 18;

std::vector<std::int64_t> columns_of_heads(const std::vector<std::int32_t>& heads, std::int32_t head_dim) {
    std::vector<std::int64_t> columns;
    for (const std::int32_t head : heads)
        for (std::int32_t i = 0; i < head_dim; ++i) columns.push_back(std::int64_t{head} * head_dim + i);
    return columns;
}

/// Rows of one matrix on their way through a form.
class RowMaker {
public:
    RowMaker(const Model& model, const ModelTensor& matrix, const MatrixForm& form, std::span<const float> importance)
        : model_(model),
          matrix_(matrix),
          form_(form),
          quantizer_(form.type, form.width, importance.empty() ? std::vector<float>{} : gather(importance, 1),
                     matrix.name) {}

    void make(std::int64_t first_row, std::int64_t n_rows, ggml_tensor* target) const {
        std::vector<float> values(static_cast<std::size_t>(n_rows * matrix_.cols));
        model_.read_rows_f32(matrix_, first_row, n_rows, values);
        std::vector<std::byte> blocks(static_cast<std::size_t>(n_rows) * quantizer_.row_bytes());
        const std::vector<float> rows = form_.keeps_rows(matrix_) ? std::move(values) : gather(values, n_rows);
        quantizer_.quantize(rows, first_row, blocks);
        const std::vector<std::byte> stored = form_.keeps_rows(matrix_) ? std::move(blocks) : as_f16(blocks, n_rows);
        ggml_backend_tensor_set(target, stored.data(), static_cast<std::size_t>(first_row) * target->nb[1],
                                stored.size());
    }

private:
    std::int64_t source_column(std::size_t i) const {
        return form_.kept.empty() ? static_cast<std::int64_t>(i) : form_.kept[i];
    }
    std::size_t n_kept() const {
        return form_.kept.empty() ? static_cast<std::size_t>(matrix_.cols) : form_.kept.size();
    }

    /// [rows][cols of the base] → [rows][width]
    std::vector<float> gather(std::span<const float> from, std::int64_t n_rows) const {
        std::vector<float> to(static_cast<std::size_t>(n_rows * form_.width), 0.0f);
        for (std::int64_t row = 0; row < n_rows; ++row)
            for (std::size_t i = 0; i < n_kept(); ++i)
                to[static_cast<std::size_t>(row * form_.width) + i] =
                    from[static_cast<std::size_t>(row * matrix_.cols + source_column(i))];
        return to;
    }

    /// [rows][blocks of width] → [rows][cols of the base] in F16
    std::vector<std::byte> as_f16(std::span<const std::byte> blocks, std::int64_t n_rows) const {
        std::vector<float> back(static_cast<std::size_t>(form_.width)), row(static_cast<std::size_t>(matrix_.cols));
        std::vector<std::byte> stored(static_cast<std::size_t>(n_rows) * row.size() * sizeof(ggml_fp16_t));
        auto* to = reinterpret_cast<ggml_fp16_t*>(stored.data());
        for (std::int64_t r = 0; r < n_rows; ++r, to += row.size()) {
            dequantize(form_.type, blocks.subspan(static_cast<std::size_t>(r) * quantizer_.row_bytes()), back);
            std::ranges::fill(row, 0.0f);
            for (std::size_t i = 0; i < n_kept(); ++i) row[static_cast<std::size_t>(source_column(i))] = back[i];
            ggml_fp32_to_fp16_row(row.data(), to, std::ssize(row));
        }
        return stored;
    }

    const Model& model_;
    const ModelTensor& matrix_;
    const MatrixForm& form_;
    BlockQuantizer quantizer_;
};

}  // namespace

std::string MatrixForm::text() const {
    return fmt::format("{} {} {}", ggml_type_name(type), width, fmt::join(kept, ","));
}

MatrixForm form_of(const Recipe& recipe, const ModelTensor& matrix, const Architecture& base) {
    const QuantAssignment* assignment = recipe.assignment_for(hf_name(matrix.id));
    if (assignment == nullptr)
        throw Error(ErrorKind::kInternal, fmt::format("trial: the recipe says nothing of {}", matrix.name));
    MatrixForm form{.type = assignment->type, .width = matrix.cols};
    if (matrix.id.role == TensorRole::kAttentionOutput) {
        const LayerTopology& layer = recipe.topology.layers[static_cast<std::size_t>(matrix.id.layer)];
        if (std::cmp_less(layer.num_heads, layer.head_scores.size())) {
            form.kept = columns_of_heads(layer.retained_head_indices, base.head_dim);
            form.width = std::ssize(form.kept);
        }
    }
    if (matrix.id.role == TensorRole::kDown) {
        const auto& channels = recipe.topology.layers[static_cast<std::size_t>(matrix.id.layer)].feed_forward;
        if (channels) form.kept = channels->indices();
        if (channels) form.width = std::ssize(form.kept);
    }
    form.width = padded_length(recipe.padding, padded_axes(matrix.id).cols, form.width, base.head_dim);
    if (assignment->padded_columns > 0) form.width = assignment->padded_columns;
    return form;
}

TrialMatrix make_trial_matrix(const Model& model, const ModelTensor& matrix, const MatrixForm& form,
                              const Backend& backend, const TrialMatrixOptions& options) {
    TrialMatrix made;
    made.context.reset(ggml_init({2 * ggml_tensor_overhead(), nullptr, true}));
    made.tensor = ggml_new_tensor_2d(made.context.get(), form.keeps_rows(matrix) ? form.type : GGML_TYPE_F16,
                                     matrix.cols, matrix.rows);
    made.buffer = backend.allocate(made.context.get());
    const RowMaker maker(model, matrix, form, options.importance);
    const std::int64_t tile = std::max<std::int64_t>(1, kTileElements / matrix.cols);
    const auto n_tiles = static_cast<std::size_t>((matrix.rows + tile - 1) / tile);
    parallel_for(options.threads, n_tiles, [&](std::size_t index) {
        throw_if_interrupted();
        const std::int64_t first = static_cast<std::int64_t>(index) * tile;
        maker.make(first, std::min(tile, matrix.rows - first), made.tensor);
    });
    return made;
}

}  // namespace plasticity
