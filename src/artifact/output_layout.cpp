#include "artifact/output_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "io/problem_list.h"
#include "model/column_padding.h"
#include "model/stock_form.h"

namespace plasticity {
namespace {

/// The order of a block's tensors in the file; what comes first is needed first.
constexpr std::array kBlockOrder{TensorRole::kAttentionNorm,
                                 TensorRole::kQuery,
                                 TensorRole::kKey,
                                 TensorRole::kQueryNorm,
                                 TensorRole::kKeyNorm,
                                 TensorRole::kValue,
                                 TensorRole::kAttentionOutput,
                                 TensorRole::kAttentionPostNorm,
                                 TensorRole::kFeedForwardNorm,
                                 TensorRole::kGate,
                                 TensorRole::kUp,
                                 TensorRole::kDown,
                                 TensorRole::kFeedForwardPostNorm,
                                 TensorRole::kRouter,
                                 TensorRole::kExpertGates,
                                 TensorRole::kExpertUps,
                                 TensorRole::kExpertDowns};

struct FileType {
    ggml_type type;
    std::uint32_t number;
};

// `general.file_type` by the type that most bytes use. Only shown to people, so a K type stands for its plain mix.
// Source: llama.cpp, include/llama.h, enum llama_ftype.
constexpr std::array kFileTypes{
    FileType{GGML_TYPE_F32, 0},     FileType{GGML_TYPE_F16, 1},    FileType{GGML_TYPE_Q4_0, 2},
    FileType{GGML_TYPE_Q4_1, 3},    FileType{GGML_TYPE_Q8_0, 7},   FileType{GGML_TYPE_Q5_0, 8},
    FileType{GGML_TYPE_Q5_1, 9},    FileType{GGML_TYPE_Q2_K, 10},  FileType{GGML_TYPE_Q3_K, 11},
    FileType{GGML_TYPE_Q4_K, 14},   FileType{GGML_TYPE_Q5_K, 16},  FileType{GGML_TYPE_Q6_K, 18},
    FileType{GGML_TYPE_IQ4_NL, 25}, FileType{GGML_TYPE_IQ3_S, 26}, FileType{GGML_TYPE_IQ4_XS, 30},
    FileType{GGML_TYPE_BF16, 32},
};
constexpr std::uint32_t kGuessedFileType = 1024;  // "not specified" in the same enum

Architecture output_architecture(const Architecture& base, const Recipe& recipe) {
    Architecture output = padded_architecture(kept_architecture(recipe, base), recipe.padding);
    const StockForm form = stock_form(base, output);
    output.name = form.architecture;
    output.rope_layout = form.rope_layout;
    return output;
}

/// RMSNorm divides by the root of a mean over more channels than the model has.
float norm_scale(const ModelTensor& source, const Padding& padding) {
    const bool is_padded =
        is_norm(source.id.role) && padded_axes(source.id).cols == PaddedAxis::kWidth && padding.width > 0;
    return is_padded ? std::sqrt(static_cast<float>(source.cols) / static_cast<float>(padding.width)) : 1.0f;
}

/// Zeros behind the input columns of one matrix, as its line of the recipe says.
void pad_columns(OutputTensor& tensor, const Recipe& recipe, ProblemList& problems) {
    const TensorId& id = tensor.source->id;
    if (!is_matrix(id)) return;
    const QuantAssignment& assignment = *recipe.assignment_for(hf_name(id));
    if (assignment.padded_columns == 0) return;
    const std::int64_t cols = tensor.n_cols(), whole = whole_blocks(assignment.type, cols);
    if (whole == cols || assignment.padded_columns != whole)
        problems.add(fmt::format("{}: paddedColumns is {}; rows of {} {} of {} ({})", gguf_name(id),
                                 assignment.padded_columns, cols,
                                 whole == cols ? "divide into blocks" : fmt::format("want {} for blocks", whole),
                                 ggml_blck_size(assignment.type), ggml_type_name(assignment.type)));
    else
        pad_end(tensor.cols, cols, whole);
}

GgufTensorSpec spec_of(const OutputTensor& tensor, const Recipe& recipe) {
    const ModelTensor& source = *tensor.source;
    const std::int64_t rows = tensor.n_rows(), cols = tensor.n_cols();
    GgufTensorSpec spec;
    spec.name = gguf_name(source.id);
    spec.n_dims = source.n_dims();
    spec.dims = {cols, rows / source.n_matrices, source.n_matrices, 1};
    // Vectors are a thousandth of the bytes and every rounding of them touches a whole channel; a router's choices too
    // are worth more than its bytes.
    spec.type = is_matrix(source.id) ? recipe.assignment_for(hf_name(source.id))->type : GGML_TYPE_F32;
    return spec;
}

void check_blocks(const GgufTensorSpec& spec, ProblemList& problems) {
    const std::int64_t block = ggml_blck_size(spec.type);
    if (spec.dims[0] % block != 0)
        problems.add(
            fmt::format("{}: rows of {} do not divide into blocks of {} ({}); choose a type with smaller blocks",
                        spec.name, spec.dims[0], block, ggml_type_name(spec.type)));
}

/// What the embedding holds in padded channels is in the residual stream of every token, where that is as wide.
void check_zeros(const OutputTensor& tensor, const Padding& padding, ProblemList& problems) {
    const std::int64_t boundary = tensor.source->cols;
    if (tensor.source->id.role == TensorRole::kTokenEmbedding && padding.width > boundary &&
        !keeps_zero_columns(tensor.spec.type, boundary))
        problems.add(
            fmt::format("{}: {} cannot hold zeros from column {} on; choose a type of the K family or with "
                        "smaller blocks",
                        tensor.spec.name, ggml_type_name(tensor.spec.type), boundary));
}

/// Sources in the order of the output.
std::vector<const ModelTensor*> ordered_sources(const Model& model, const Recipe& recipe) {
    const auto rank = [](const ModelTensor* tensor) {
        const auto place = std::find(kBlockOrder.begin(), kBlockOrder.end(), tensor->id.role) - kBlockOrder.begin();
        int part = 0;  // embedding
        if (tensor->id.role == TensorRole::kRopeFrequencies) part = 1;
        if (tensor->id.layer >= 0) part = 2;
        if (tensor->id.role == TensorRole::kOutputNorm) part = 3;
        if (tensor->id.role == TensorRole::kOutput) part = 4;
        return std::array<std::int64_t, 4>{part, tensor->id.layer, place, tensor->id.is_bias};
    };
    std::vector<const ModelTensor*> sources;
    for (const ModelTensor& tensor : model.tensors()) {
        const bool in_attention = tensor.id.layer >= 0 && is_attention(tensor.id.role);
        if (in_attention && recipe.topology.layers[static_cast<std::size_t>(tensor.id.layer)].num_heads == 0) continue;
        sources.push_back(&tensor);
    }
    std::stable_sort(sources.begin(), sources.end(), [&](auto* a, auto* b) { return rank(a) < rank(b); });
    return sources;
}

std::uint32_t file_type_of(const std::vector<OutputTensor>& tensors) {
    std::map<ggml_type, std::uint64_t> bytes;
    for (const OutputTensor& tensor : tensors) bytes[tensor.spec.type] += tensor.spec.bytes();
    const auto most =
        std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    for (const FileType& known : kFileTypes)
        if (most != bytes.end() && known.type == most->first) return known.number;
    return kGuessedFileType;
}

void add_general(const Model& model, const OutputLayout& layout, GgufMetadata& metadata) {
    metadata.set("general.architecture", layout.architecture.name);
    metadata.set("general.type", std::string("model"));
    for (const auto& [key, value] : model.general().entries())
        if (key != "general.architecture" && key != "general.alignment") metadata.set(key, value);
    metadata.set("general.file_type", file_type_of(layout.tensors));
    const bool quantised = std::any_of(layout.tensors.begin(), layout.tensors.end(),
                                       [](const OutputTensor& tensor) { return ggml_is_quantized(tensor.spec.type); });
    metadata.erase("general.quantization_version");
    if (quantised) metadata.set("general.quantization_version", std::uint32_t{GGML_QNT_VERSION});
}

void add_continuum(const Recipe& recipe, const Architecture& base, GgufMetadata& metadata) {
    std::vector<std::int32_t> heads, kv_heads, widths;
    std::vector<float> scores;
    for (const LayerTopology& layer : recipe.topology.layers) {
        heads.push_back(layer.num_heads);
        kv_heads.push_back(layer.num_kv_heads);
        for (std::int32_t head = 0; head < recipe.topology.original_num_heads; ++head) {
            const auto index = static_cast<std::size_t>(head);  // layers with fewer heads than others: 0 for the rest
            scores.push_back(index < layer.head_scores.size() ? static_cast<float>(layer.head_scores[index]) : 0.0f);
        }
    }
    if (recipe.pads_columns()) metadata.set(std::string(kPaddedColumnsKey), true);
    metadata.set(kRecipeKey, recipe_to_json(recipe));
    metadata.set("continuum.per_layer_head_counts", GgufArray(std::move(heads)));
    metadata.set("continuum.per_layer_kv_head_counts", GgufArray(std::move(kv_heads)));
    metadata.set("continuum.utilization_scores", GgufArray(std::move(scores)));
    if (!recipe.prunes_feed_forward()) return;
    for (const LayerGeometry& layer : kept_architecture(recipe, base).layers) widths.push_back(layer.n_ff);
    metadata.set("continuum.per_layer_feed_forward_lengths", GgufArray(std::move(widths)));
}

}  // namespace

bool OutputTensor::loses_cols() const {
    return !cols.empty() && std::ranges::count_if(cols, [](std::int64_t col) { return col != kZeros; }) < source->cols;
}

OutputLayout lay_out(const Model& model, const Recipe& recipe, const OutputOptions& options) {
    require_recipe_fits(recipe, model.architecture(), "recipe");
    ProblemList problems("recipe");
    OutputLayout layout;
    layout.architecture = output_architecture(model.architecture(), recipe);
    if (recipe.output_architecture != layout.architecture.name)
        problems.add(fmt::format("outputArchitecture is \"{}\"; this topology of a {} model is written as \"{}\"",
                                 recipe.output_architecture, model.architecture().name, layout.architecture.name));

    for (const ModelTensor* source : ordered_sources(model, recipe)) {
        OutputTensor tensor;
        tensor.source = source;
        WeightSelection selection = select_weight(*source, model.architecture(), layout.architecture, recipe);
        tensor.rows = std::move(selection.rows);
        tensor.cols = std::move(selection.cols);
        tensor.scale = norm_scale(*source, recipe.padding);
        pad_columns(tensor, recipe, problems);
        tensor.spec = spec_of(tensor, recipe);
        check_blocks(tensor.spec, problems);
        check_zeros(tensor, recipe.padding, problems);
        layout.tensors.push_back(std::move(tensor));
    }
    problems.throw_if_any();

    add_general(model, layout, layout.file.metadata);
    write_architecture(layout.architecture, layout.file.metadata);
    if (options.with_tokenizer)
        for (const auto& [key, value] : model.tokenizer().entries()) layout.file.metadata.set(key, value);
    add_continuum(recipe, model.architecture(), layout.file.metadata);
    state_sources(layout, std::vector(model.files().size(), std::string(kSha256Digits, '0')));
    for (const OutputTensor& tensor : layout.tensors) layout.file.tensors.push_back(tensor.spec);
    return layout;
}

void state_sources(OutputLayout& layout, std::vector<std::string> sha256) {
    layout.file.metadata.set(kSourceHashesKey, GgufArray(std::move(sha256)));
}

std::uint64_t kv_cache_bytes(const Architecture& architecture, std::int32_t context_length, ggml_type kv_type) {
    const std::uint64_t type_bytes = ggml_type_size(kv_type);
    const auto block = static_cast<std::uint64_t>(ggml_blck_size(kv_type));
    std::uint64_t bytes = 0;
    for (const LayerGeometry& layer : architecture.layers) {
        const auto elements =
            static_cast<std::uint64_t>(layer.n_head_kv) * static_cast<std::uint64_t>(architecture.head_dim);
        bytes += 2 * static_cast<std::uint64_t>(context_length) * ((elements + block - 1) / block) * type_bytes;
    }
    return bytes;
}

}  // namespace plasticity
