#include "artifact/kept_adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "artifact/lora_rows.h"
#include "artifact/output_selection.h"
#include "core/error.h"
#include "io/printable.h"
#include "io/problem_list.h"
#include "model/family.h"
#include "model/stock_form.h"

namespace plasticity {
namespace {

std::int64_t width_of(const LoraMatrix& matrix) {
    const bool writes = matrix.id.role == TensorRole::kAttentionOutput || matrix.id.role == TensorRole::kDown;
    return writes ? matrix.rows : matrix.cols;
}

/// Channels of the feed-forward part; 0 for matrices of attention.
std::int64_t channels_of(const LoraMatrix& matrix) {
    if (matrix.id.role == TensorRole::kDown) return matrix.cols;
    return matrix.id.role == TensorRole::kGate || matrix.id.role == TensorRole::kUp ? matrix.rows : 0;
}

/// The geometry that the recipe was made for. What padding has hidden is as the adapter has it.
Architecture base_of(const Architecture& model, const Recipe& recipe, const LoraAdapter& adapter) {
    Architecture base = model;
    const auto narrower = [](std::int64_t length, std::int32_t padded) {
        return length > 0 && length < padded ? static_cast<std::int32_t>(length) : padded;
    };
    if (recipe.padding.width > 0) base.n_embd = narrower(width_of(adapter.matrices.front()), model.n_embd);
    for (std::size_t i = 0; i < base.layers.size(); ++i) {
        const LayerTopology& topology = recipe.topology.layers[i];
        LayerGeometry& layer = base.layers[i];
        layer.n_head = static_cast<std::int32_t>(std::ssize(topology.head_scores));
        layer.n_head_kv = layer.n_head > 0 ? recipe.topology.original_num_kv_heads : 0;
        if (topology.feed_forward)
            layer.n_ff = topology.feed_forward->original_channels;
        else if (recipe.padding.feed_forward > 0)
            for (const LoraMatrix& matrix : adapter.of_layer(static_cast<int>(i)))
                layer.n_ff = narrower(channels_of(matrix), layer.n_ff);
    }
    return base;
}

/// @param b  [rows][rank]
std::vector<float> kept_rows(const std::vector<float>& b, const std::vector<std::int64_t>& rows, std::int64_t rank) {
    if (rows.empty()) return b;
    std::vector<float> kept(static_cast<std::size_t>(std::ssize(rows) * rank));
    for (std::int64_t row = 0; row < std::ssize(rows); ++row)
        if (const std::int64_t from = rows[static_cast<std::size_t>(row)]; from != kZeros)
            std::copy_n(b.begin() + from * rank, rank, kept.begin() + row * rank);
    return kept;
}

/// @param a  [rank][n_cols]
std::vector<float> kept_cols(const std::vector<float>& a, std::int64_t n_cols, const std::vector<std::int64_t>& cols) {
    if (cols.empty()) return a;
    std::vector<float> kept;
    for (auto row = a.begin(); row != a.end(); row += n_cols)
        for (const std::int64_t col : cols) kept.push_back(col == kZeros ? 0.0f : row[col]);
    return kept;
}

LoraMatrix kept_matrix(const LoraMatrix& matrix, std::int32_t rank, const WeightSelection& selection) {
    return {.id = matrix.id,
            .rows = selection.rows.empty() ? matrix.rows : std::ssize(selection.rows),
            .cols = selection.cols.empty() ? matrix.cols : std::ssize(selection.cols),
            .a = kept_cols(matrix.a, matrix.cols, selection.cols),
            .b = kept_rows(matrix.b, selection.rows, rank)};
}

void require_shapes(const LoraAdapter& adapter, const Architecture& base, const std::string& where) {
    ProblemList problems(where);
    for (const LoraMatrix& matrix : adapter.matrices)
        if (const auto [rows, cols] = lora_shape(base, matrix.id); matrix.rows != rows || matrix.cols != cols)
            problems.add(fmt::format("{} is {} × {}; expected {} × {}. Is it of another model?", gguf_name(matrix.id),
                                     matrix.rows, matrix.cols, rows, cols));
    problems.throw_if_any();
}

}  // namespace

LoraAdapter kept_adapter(const GgufAdapter& trained, const Architecture& model, const std::optional<Recipe>& recipe,
                         const std::string& where) {
    const Family* family = family_of_gguf(trained.architecture);
    const bool may_be_base = recipe && takes_geometry_per_layer(model);  // written in another family's form
    if (family == nullptr || (trained.architecture != model.name && !may_be_base))
        throw Error(ErrorKind::kMalformed, fmt::format("{}: an adapter of a {} model; expected one of {}", where,
                                                       printable(trained.architecture),
                                                       may_be_base ? known_gguf_architectures() : model.name));
    const LoraAdapter& adapter = trained.adapter;
    if (!recipe) {
        require_shapes(adapter, model, where);
        return in_rope_layout(adapter, model, family->gguf_rope_layout, model.rope_layout);
    }
    if (recipe->equalization > 0)
        throw Error(ErrorKind::kUsage,
                    fmt::format("{}: the file's channels are scaled, which an adapter of its base knows nothing of; "
                                "expected a file planned without --equalize. compress --adapter merges adapters "
                                "before channels are scaled",
                                where));
    Architecture base = base_of(model, *recipe, adapter);
    base.rope_layout = family->gguf_rope_layout;
    require_shapes(adapter, base, where);
    LoraAdapter kept{.rank = adapter.rank, .alpha = adapter.alpha, .matrices = {}};
    for (const LoraMatrix& matrix : adapter.matrices) {
        const LayerTopology& topology = recipe->topology.layers[static_cast<std::size_t>(matrix.id.layer)];
        if (is_attention(matrix.id.role) && topology.num_heads == 0) continue;
        ModelTensor source;
        source.id = matrix.id;
        source.rows = matrix.rows;
        source.cols = matrix.cols;
        kept.matrices.push_back(kept_matrix(matrix, adapter.rank, select_weight(source, base, model, *recipe)));
    }
    require_shapes(kept, model, where);
    return kept;
}

std::optional<LoraAdapter> load_kept_adapter(const Model& model, const std::optional<std::filesystem::path>& path) {
    if (!path) return std::nullopt;
    return kept_adapter(load_gguf_adapter(*path), model.architecture(), embedded_recipe(model), path->string());
}

}  // namespace plasticity
