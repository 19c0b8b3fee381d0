#include "engine/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/parallel.h"

namespace plasticity {
namespace {

constexpr std::int64_t kTileElements = std::int64_t{1} << 20;

ggml_type matrix_type(WeightPrecision precision, ggml_type stored) {
    switch (precision) {
        case WeightPrecision::kF32:
            return GGML_TYPE_F32;
        case WeightPrecision::kF16:
            return GGML_TYPE_F16;
        case WeightPrecision::kBF16:
            return GGML_TYPE_BF16;
        case WeightPrecision::kStored:
            break;
    }
    return stored;
}

/// F32 → one of the unquantised types.
void convert_row(ggml_type type, const float* from, std::byte* to, std::int64_t n) {
    if (type == GGML_TYPE_F32)
        std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
    else if (type == GGML_TYPE_F16)
        ggml_fp32_to_fp16_row(from, reinterpret_cast<ggml_fp16_t*>(to), n);
    else if (type == GGML_TYPE_BF16)
        ggml_fp32_to_bf16_row(from, reinterpret_cast<ggml_bf16_t*>(to), n);
    else
        throw Error(ErrorKind::kInternal, fmt::format("weights: no conversion to {}", ggml_type_name(type)));
}

/// As it is held: a row's length depends on whether blocks are copied or values converted.
std::int64_t held_row_length(const ModelTensor& tensor, ggml_type type) {
    return type == tensor.type ? tensor.row_length() : tensor.cols;
}

void require_dense(const Architecture& architecture) {
    if (architecture.experts.count > 0)
        throw Error(ErrorKind::kUsage,
                    fmt::format("engine: {} is a mixture of experts, which this program plans and compresses but "
                                "does not run; run it with llama.cpp",
                                architecture.name));
}

/// A weight that is no number would spoil every result without a word of where it came from.
void require_finite(const ModelTensor& tensor, std::int64_t first_row, std::span<const float> values) {
    const auto bad = std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
    if (bad == values.end()) return;
    const std::int64_t index = bad - values.begin();
    throw Error(ErrorKind::kMalformed,
                fmt::format("{}, row {}, column {}: got {}; expected finite weights. Is the model damaged?",
                            tensor.name, first_row + index / tensor.cols, index % tensor.cols, *bad));
}

}  // namespace

WeightPrecision parse_weight_precision(std::string_view name) {
    for (const auto precision :
         {WeightPrecision::kStored, WeightPrecision::kF32, WeightPrecision::kF16, WeightPrecision::kBF16})
        if (weight_precision_name(precision) == name) return precision;
    throw Error(ErrorKind::kUsage, fmt::format("precision: got '{}'; expected f32, f16 or bf16", name));
}

std::string_view weight_precision_name(WeightPrecision precision) {
    switch (precision) {
        case WeightPrecision::kF32:
            return "f32";
        case WeightPrecision::kF16:
            return "f16";
        case WeightPrecision::kBF16:
            return "bf16";
        case WeightPrecision::kStored:
            break;
    }
    return "stored";
}

OffloadSizes weight_sizes(const Model& model, const WeightOptions& options) {
    require_dense(model.architecture());
    OffloadSizes sizes{.layers = std::vector<std::uint64_t>(model.architecture().layers.size()),
                       .tied = model.find({TensorRole::kOutput}) == nullptr};
    for (const ModelTensor& tensor : model.tensors()) {
        const ggml_type type = tensor.is_vector ? GGML_TYPE_F32 : matrix_type(options.precision, tensor.type);
        const auto rows = static_cast<std::uint64_t>(tensor.rows);
        std::uint64_t bytes = rows * ggml_row_size(type, held_row_length(tensor, type));
        if (options.with_transposed && !tensor.is_vector) bytes *= 2;
        const TensorRole role = tensor.id.role;
        if (tensor.id.layer >= 0)
            sizes.layers[static_cast<std::size_t>(tensor.id.layer)] += bytes;
        else if (role != TensorRole::kRopeFrequencies && (role != TensorRole::kTokenEmbedding || sizes.tied))
            sizes.output += bytes;
    }
    return sizes;
}

/// Declares every tensor first (so that one buffer holds all of a place), then fills them from the model.
class WeightLoader {
public:
    WeightLoader(Weights& weights, const Model& model, const Backend& backend, const WeightOptions& options)
        : weights_(weights), model_(model), backend_(backend), options_(options) {
        if (options.with_transposed && options.precision == WeightPrecision::kStored)
            throw Error(ErrorKind::kInternal, "weights: stored blocks cannot be transposed; ask for f16, bf16 or f32");
        require_dense(model.architecture());
    }

    void load(Progress& progress) {
        declare();
        for (const Place place : {Place::kCpu, Place::kDevice}) {
            if (ggml_get_first_tensor(context_of(place)) == nullptr) continue;
            ggml_backend_buffer_ptr& buffer = weights_.buffers_[static_cast<std::size_t>(place)];
            buffer = backend_.allocate(context_of(place), place);
            ggml_backend_buffer_set_usage(buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        }
        fill_all(progress);
    }

private:
    struct Job {
        const ModelTensor* source;
        ggml_tensor* target;
        ggml_tensor* transposed;
    };

    void declare() {
        const std::size_t n_tensors = model_.tensors().size() * 2 + 16;
        weights_.architecture_ = model_.architecture();
        for (ggml_context_ptr& context : weights_.contexts_)
            context.reset(ggml_init({n_tensors * ggml_tensor_overhead(), nullptr, true}));
        const int n_layer = weights_.architecture_.n_layer();
        weights_.layers_.resize(static_cast<std::size_t>(n_layer));
        weights_.transposed_.resize(options_.with_transposed ? static_cast<std::size_t>(n_layer) : 0);

        weights_.token_embedding_ = add({TensorRole::kTokenEmbedding});
        weights_.output_norm_ = add({TensorRole::kOutputNorm});
        weights_.output_ = add({TensorRole::kOutput});
        weights_.rope_factors_ = add({TensorRole::kRopeFrequencies});
        if (options_.with_transposed)
            weights_.output_transposed_ =
                add_transposed({weights_.output_ != nullptr ? TensorRole::kOutput : TensorRole::kTokenEmbedding});
        for (int layer = 0; layer < n_layer; ++layer) declare_layer(layer);
    }

    void declare_layer(int layer) {
        LayerWeights& block = weights_.layers_[static_cast<std::size_t>(layer)];
        block.geometry = weights_.architecture_.layers[static_cast<std::size_t>(layer)];
        block.rotates = weights_.architecture_.rotates(layer);
        block.slides = weights_.architecture_.slides(layer);
        const std::pair<TensorRole, ggml_tensor**> matrices[] = {
            {TensorRole::kAttentionNorm, &block.attention_norm},
            {TensorRole::kQuery, &block.query},
            {TensorRole::kKey, &block.key},
            {TensorRole::kQueryNorm, &block.query_norm},
            {TensorRole::kKeyNorm, &block.key_norm},
            {TensorRole::kValue, &block.value},
            {TensorRole::kAttentionOutput, &block.attention_output},
            {TensorRole::kAttentionPostNorm, &block.attention_post_norm},
            {TensorRole::kFeedForwardNorm, &block.feed_forward_norm},
            {TensorRole::kFeedForwardPostNorm, &block.feed_forward_post_norm},
            {TensorRole::kGate, &block.gate},
            {TensorRole::kUp, &block.up},
            {TensorRole::kDown, &block.down}};
        for (const auto& [role, slot] : matrices) *slot = add({role, layer});
        const std::pair<TensorRole, ggml_tensor**> biases[] = {
            {TensorRole::kQuery, &block.query_bias},
            {TensorRole::kKey, &block.key_bias},
            {TensorRole::kValue, &block.value_bias},
            {TensorRole::kAttentionOutput, &block.attention_output_bias}};
        for (const auto& [role, slot] : biases) *slot = add({role, layer, true});
        if (!options_.with_transposed) return;

        TransposedLayer& back = weights_.transposed_[static_cast<std::size_t>(layer)];
        const std::pair<TensorRole, ggml_tensor**> transposed[] = {
            {TensorRole::kQuery, &back.query}, {TensorRole::kKey, &back.key},
            {TensorRole::kValue, &back.value}, {TensorRole::kAttentionOutput, &back.attention_output},
            {TensorRole::kGate, &back.gate},   {TensorRole::kUp, &back.up},
            {TensorRole::kDown, &back.down}};
        for (const auto& [role, slot] : transposed) *slot = add_transposed({role, layer});
    }

    ggml_tensor* add(const TensorId& id) {
        const ModelTensor* source = model_.find(id);
        if (source == nullptr) return nullptr;
        const ggml_type type = matrix_type(options_.precision, source->type);
        ggml_context* context = context_of(place_of(*source, type));
        ggml_tensor* tensor = source->is_vector
                                  ? ggml_new_tensor_1d(context, GGML_TYPE_F32, source->cols)
                                  : ggml_new_tensor_2d(context, type, held_row_length(*source, type), source->rows);
        ggml_set_name(tensor, source->name.c_str());
        jobs_.push_back({source, tensor, nullptr});
        return tensor;
    }

    ggml_tensor* add_transposed(const TensorId& id) {
        const auto job = std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& j) { return j.source->id == id; });
        if (job == jobs_.end()) return nullptr;
        const bool is_output = id.role == TensorRole::kOutput || id.role == TensorRole::kTokenEmbedding;
        ggml_context* context = context_of(is_output ? options_.offload.of({TensorRole::kOutput})
                                                     : place_of(*job->source, job->target->type));
        job->transposed = ggml_new_tensor_2d(context, job->target->type, job->source->rows, job->source->cols);
        return job->transposed;
    }

    ggml_context* context_of(Place place) const { return weights_.contexts_[static_cast<std::size_t>(place)].get(); }

    Place place_of(const ModelTensor& source, ggml_type type) const {
        const Place place = options_.offload.of(source.id);
        if (place == Place::kCpu || source.is_vector) return place;
        ggml_tensor like{};
        like.type = type;
        like.ne[0] = held_row_length(source, type);
        like.ne[1] = source.rows;
        const bool looks_up = source.id.role == TensorRole::kTokenEmbedding;
        return backend_.device_multiplies(like, looks_up) ? place : Place::kCpu;
    }

    void fill_all(Progress& progress) {
        std::uint64_t total = 0;
        for (const Job& job : jobs_) total += job.source->bytes();
        progress.begin("load", total, "bytes");
        for (const Job& job : jobs_) {
            throw_if_interrupted();
            if (job.target->type == job.source->type)
                copy_stored(job);
            else
                convert(job);
            if (job.transposed != nullptr) transpose(job);
            progress.advance(job.source->bytes());
        }
        progress.end();
    }

    void copy_stored(const Job& job) {
        const auto row_bytes = job.source->row_bytes();
        const auto rows_per_tile = std::max<std::int64_t>(1, kTileElements / job.source->cols);
        std::vector<std::byte> tile;
        for (std::int64_t row = 0; row < job.source->rows; row += rows_per_tile) {
            const auto n = std::min(rows_per_tile, job.source->rows - row);
            tile.resize(static_cast<std::size_t>(n) * row_bytes);
            model_.read_rows(*job.source, row, n, tile);
            check_stored(job, row, n, tile);
            ggml_backend_tensor_set(job.target, tile.data(), static_cast<std::size_t>(row) * row_bytes, tile.size());
        }
    }

    /// Of quantised blocks `plasticity verify` checks the scales: dequantising them here would double the time to load.
    static void check_stored(const Job& job, std::int64_t row, std::int64_t n_rows, std::span<const std::byte> tile) {
        if (ggml_is_quantized(job.source->type)) return;
        std::vector<float> values(static_cast<std::size_t>(n_rows * job.source->cols));
        if (job.source->type == GGML_TYPE_F32)
            std::memcpy(values.data(), tile.data(), tile.size());
        else
            ggml_get_type_traits(job.source->type)->to_float(tile.data(), values.data(), std::ssize(values));
        require_finite(*job.source, row, values);
    }

    void convert(const Job& job) {
        const std::int64_t cols = job.source->cols;
        const auto rows_per_tile = std::max<std::int64_t>(1, kTileElements / cols);
        const auto n_tiles = static_cast<std::size_t>((job.source->rows + rows_per_tile - 1) / rows_per_tile);
        const std::size_t row_bytes = ggml_row_size(job.target->type, cols);
        parallel_for(backend_.threads(), n_tiles, [&](std::size_t tile) {
            const auto row = static_cast<std::int64_t>(tile) * rows_per_tile;
            const auto n = std::min(rows_per_tile, job.source->rows - row);
            std::vector<float> values(static_cast<std::size_t>(n * cols));
            std::vector<std::byte> converted(static_cast<std::size_t>(n) * row_bytes);
            model_.read_rows_f32(*job.source, row, n, values);
            require_finite(*job.source, row, values);
            convert_row(job.target->type, values.data(), converted.data(), n * cols);
            ggml_backend_tensor_set(job.target, converted.data(), static_cast<std::size_t>(row) * row_bytes,
                                    converted.size());
        });
    }

    /// From the tensor just loaded, so that both orders hold the same rounded numbers.
    void transpose(const Job& job) {
        const auto rows = static_cast<std::size_t>(job.source->rows), cols = static_cast<std::size_t>(job.source->cols);
        if (ggml_type_size(job.target->type) == sizeof(float))
            transpose_as<float>(job, rows, cols);
        else
            transpose_as<std::uint16_t>(job, rows, cols);
    }

    template <typename Element>
    void transpose_as(const Job& job, std::size_t rows, std::size_t cols) {
        constexpr std::size_t kBlock = 64;  // both sides of a block stay in the first-level cache
        std::vector<Element> from(rows * cols), to(rows * cols);
        fetch<Element>(job.target, from);
        parallel_for(backend_.threads(), (cols + kBlock - 1) / kBlock, [&](std::size_t block) {
            const std::size_t first = block * kBlock, last = std::min(cols, first + kBlock);
            for (std::size_t row0 = 0; row0 < rows; row0 += kBlock)
                for (std::size_t col = first; col < last; ++col)
                    for (std::size_t row = row0; row < std::min(rows, row0 + kBlock); ++row)
                        to[col * rows + row] = from[row * cols + col];
        });
        fill<Element>(job.transposed, to);
    }

    Weights& weights_;
    const Model& model_;
    const Backend& backend_;
    WeightOptions options_;
    std::vector<Job> jobs_;
};

Weights::Weights(const Model& model, const Backend& backend, const WeightOptions& options, Progress& progress) {
    WeightLoader(*this, model, backend, options).load(progress);
    loaded_output_ = output();
}

ggml_tensor** Weights::slot_of(const TensorId& id) {
    if (id.is_bias) return nullptr;
    if (id.role == TensorRole::kTokenEmbedding) return &token_embedding_;
    if (id.role == TensorRole::kOutput) return &output_;
    if (id.layer < 0 || std::cmp_greater_equal(id.layer, layers_.size())) return nullptr;
    LayerWeights& block = layers_[static_cast<std::size_t>(id.layer)];
    switch (id.role) {
        case TensorRole::kQuery:
            return &block.query;
        case TensorRole::kKey:
            return &block.key;
        case TensorRole::kValue:
            return &block.value;
        case TensorRole::kAttentionOutput:
            return &block.attention_output;
        case TensorRole::kGate:
            return &block.gate;
        case TensorRole::kUp:
            return &block.up;
        case TensorRole::kDown:
            return &block.down;
        default:
            return nullptr;
    }
}

void Weights::replace(const TensorId& id, ggml_tensor* matrix) {
    ggml_tensor** slot = slot_of(id);
    ggml_tensor* original = slot != nullptr ? loaded(gguf_name(id).c_str()) : nullptr;
    if (original == nullptr || (matrix != nullptr && !ggml_are_same_shape(original, matrix)))
        throw Error(ErrorKind::kInternal, fmt::format("weights: nothing of this shape stands for {}", gguf_name(id)));
    *slot = matrix != nullptr ? matrix : original;
}

ggml_tensor* Weights::loaded(const char* name) const {
    for (const ggml_context_ptr& context : contexts_)
        if (ggml_tensor* tensor = ggml_get_tensor(context.get(), name)) return tensor;
    return nullptr;
}

std::size_t Weights::bytes_in(Place place) const {
    const ggml_backend_buffer_ptr& buffer = buffers_[static_cast<std::size_t>(place)];
    return buffer ? ggml_backend_buffer_get_size(buffer.get()) : 0;
}

}  // namespace plasticity
