#include "engine/weight_loader.h"

#include "core/error.h"
#include "core/interrupt.h"
#include "engine/weight_fill.h"

namespace plasticity {
namespace {

bool is_outside_blocks(TensorRole role) {
    return role == TensorRole::kTokenEmbedding || role == TensorRole::kOutput;
}

}  // namespace

WeightLoader::WeightLoader(const Model& model, const Backend& backend, const WeightOptions& options)
    : model_(model), backend_(backend), options_(options) {
    if (options.backward == BackwardMatrices::kTransposed && options.precision == WeightPrecision::kStored)
        throw Error(ErrorKind::kInternal, "weights: stored blocks cannot be transposed; ask for f16, bf16 or f32");
}

void WeightLoader::load(Weights& weights, Progress& progress) {
    weights.tensors_ = PlacedTensors(model_.tensors().size() * 2 + 16);
    const MatrixOrders orders =
        options_.backward != BackwardMatrices::kNone ? MatrixOrders::kBoth : MatrixOrders::kForward;
    declare_globals(weights, weights.tensors_);
    const auto declare_staying = [&](const TensorId& part, MatrixOrders wanted) {
        if (stays(part)) declare(weights, weights.tensors_, {part, wanted});
    };
    if (weights.output_id().role == TensorRole::kOutput)
        declare_staying({TensorRole::kTokenEmbedding}, MatrixOrders::kForward);
    declare_staying(weights.output_id(), orders);
    for (int layer = 0; layer < model_.architecture().n_layer(); ++layer) declare_staying(block(layer), orders);

    weights.tensors_.allocate(backend_, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    std::uint64_t total = 0;
    for (const Job& job : jobs_) total += job.source->bytes();
    progress.begin("load", total, "bytes");
    for (const Job& job : jobs_) {
        fill(job);
        progress.advance(job.source->bytes());
    }
    progress.end();
    jobs_.clear();
}

void WeightLoader::hold(Weights& weights, const Part& part) {
    if (stays(part.id) || holds(part)) return;
    release(weights);  // first, so that no two parts are in memory at once
    passing_ = PlacedTensors(64);
    declare(weights, passing_, part);
    passing_.allocate(backend_, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    for (const Job& job : jobs_) fill(job);
    jobs_.clear();
    held_ = part;
}

bool WeightLoader::stays(const TensorId& part) const {
    return !options_.streamed || options_.offload.of(part) == Place::kDevice;
}

bool WeightLoader::holds(const Part& part) const {
    return held_ && held_->id == part.id &&
           (held_->orders == part.orders || held_->orders == MatrixOrders::kBoth ||
            options_.backward == BackwardMatrices::kSame);
}

/// Nothing points to what is gone.
void WeightLoader::release(Weights& weights) {
    jobs_.clear();  // where the last part could not be filled
    if (!held_) return;
    for (const ModelTensor& tensor : model_.tensors()) {
        const bool goes = held_->id.layer >= 0 ? tensor.id.layer == held_->id.layer : tensor.id == held_->id;
        if (!goes) continue;
        if (ggml_tensor** slot = weights.slot_of(tensor.id)) *slot = nullptr;
        if (ggml_tensor** slot = weights.backward_slot_of(tensor.id)) *slot = nullptr;
    }
    held_.reset();
    passing_ = PlacedTensors();
}

/// Few numbers that several passes read.
void WeightLoader::declare_globals(Weights& weights, PlacedTensors& room) {
    for (const TensorRole role : {TensorRole::kOutputNorm, TensorRole::kRopeFrequencies})
        if (const ModelTensor* source = model_.find({role})) add(weights, room, *source, MatrixOrders::kForward);
}

void WeightLoader::declare(Weights& weights, PlacedTensors& room, const Part& part) {
    if (is_outside_blocks(part.id.role)) return add(weights, room, model_.require(part.id), part.orders);
    for (const ModelTensor& tensor : model_.tensors())
        if (tensor.id.layer == part.id.layer) add(weights, room, tensor, part.orders);
}

void WeightLoader::add(Weights& weights, PlacedTensors& room, const ModelTensor& source, MatrixOrders orders) {
    ggml_tensor** slot = weights.slot_of(source.id);
    if (slot == nullptr) return;
    const ggml_type type = held_type(source, options_.precision);
    ggml_context* context = room.context(place_of(source, type));
    *slot = source.is_vector ? ggml_new_tensor_1d(context, type, source.cols)
                             : ggml_new_tensor_2d(context, type, held_row_length(source, type), source.rows);
    ggml_set_name(*slot, source.name.c_str());
    Job job{.source = &source, .target = *slot, .transposed = nullptr};
    ggml_tensor** backward = weights.backward_slot_of(source.id);
    if (backward != nullptr && options_.backward == BackwardMatrices::kSame) {
        *backward = *slot;
    } else if (backward != nullptr && orders == MatrixOrders::kBoth) {
        // The embedding may stay behind for its look-up; as the output matrix it need not.
        ggml_context* beside =
            is_outside_blocks(source.id.role) ? room.context(options_.offload.of({TensorRole::kOutput})) : context;
        *backward = job.transposed = ggml_new_tensor_2d(beside, type, source.rows, source.cols);
    }
    jobs_.push_back(job);
}

Place WeightLoader::place_of(const ModelTensor& source, ggml_type type) const {
    const Place place = options_.offload.of(source.id);
    if (place == Place::kCpu || source.is_vector) return place;
    ggml_tensor like{};
    like.type = type;
    like.ne[0] = held_row_length(source, type);
    like.ne[1] = source.rows;
    const bool looks_up = source.id.role == TensorRole::kTokenEmbedding;
    return backend_.device_multiplies(like, looks_up) ? place : Place::kCpu;
}

/// The transpose comes from the tensor just loaded, so that both orders hold the same rounded numbers.
void WeightLoader::fill(const Job& job) const {
    throw_if_interrupted();
    fill_weight(model_, *job.source, backend_, job.target);
    if (job.transposed != nullptr) fill_transposed(job.target, backend_, job.transposed);
}

}  // namespace plasticity
