#include "verify/structure_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "artifact/output_layout.h"
#include "core/error.h"

namespace plasticity {
namespace {

using Problems = std::vector<std::string>;

std::string column_padding_text(std::int64_t cols, std::int64_t padded) {
    return padded == 0 ? fmt::format("rows of {}", cols) : fmt::format("rows of {} padded to {}", cols, padded);
}

void compare_layers(const Recipe& recipe, const Architecture& architecture, Problems& problems) {
    const auto& layers = recipe.topology.layers;
    if (architecture.name != recipe.output_architecture)
        problems.push_back(fmt::format("architecture {}; expected {}", architecture.name, recipe.output_architecture));
    if (architecture.head_dim != recipe.topology.head_dim)
        problems.push_back(
            fmt::format("heads of {} dimensions; expected {}", architecture.head_dim, recipe.topology.head_dim));
    if (recipe.padding.width > 0 && architecture.n_embd != recipe.padding.width)
        problems.push_back(fmt::format("embedding width {}; expected {}", architecture.n_embd, recipe.padding.width));
    if (architecture.layers.size() != layers.size()) {
        problems.push_back(fmt::format("{} layers; expected {}", architecture.layers.size(), layers.size()));
        return;
    }
    for (std::size_t i = 0; i < layers.size(); ++i) {
        const LayerGeometry& got = architecture.layers[i];
        const std::int32_t heads =
            layers[i].num_heads > 0 ? std::max(layers[i].num_heads, recipe.padding.heads) : layers[i].num_heads;
        if (got.n_head != heads || got.n_head_kv != layers[i].num_kv_heads)
            problems.push_back(fmt::format("layer {}: {} query and {} KV heads; expected {} and {}", i, got.n_head,
                                           got.n_head_kv, heads, layers[i].num_kv_heads));
        std::int32_t feed_forward = layers[i].feed_forward ? layers[i].feed_forward->n_retained() : 0;
        if (recipe.padding.feed_forward > 0) feed_forward = recipe.padding.feed_forward;
        if (feed_forward > 0 && got.n_ff != feed_forward)
            problems.push_back(fmt::format("layer {}: feed-forward width {}; expected {}", i, got.n_ff, feed_forward));
    }
}

void compare_counts(const Subject& subject, std::string_view key, const std::vector<std::int32_t>& expected,
                    Problems& problems) {
    try {
        const auto* got = subject.file.metadata().array<std::int32_t>(key);
        if (got == nullptr)
            problems.push_back(fmt::format("{} is missing", key));
        else if (*got != expected)
            problems.push_back(
                fmt::format("{} is [{}]; expected [{}]", key, fmt::join(*got, ", "), fmt::join(expected, ", ")));
    } catch (const Error& error) {
        problems.push_back(error.what());
    }
}

void compare_heads(const Subject& subject, std::string_view key, std::int32_t LayerTopology::* count,
                   Problems& problems) {
    std::vector<std::int32_t> expected;
    for (const LayerTopology& layer : subject.recipe->topology.layers) expected.push_back(layer.*count);
    compare_counts(subject, key, expected, problems);
}

/// Of a layer that keeps all its channels the recipe does not say how many there are: what the file says of it counts.
void compare_widths(const Subject& subject, Problems& problems) {
    if (!subject.recipe->prunes_feed_forward() || !subject.model) return;
    const auto& layers = subject.recipe->topology.layers;
    const auto& geometry = subject.model->architecture().layers;
    std::vector<std::int32_t> expected;
    for (std::size_t i = 0; i < layers.size() && i < geometry.size(); ++i)
        expected.push_back(layers[i].feed_forward ? layers[i].feed_forward->n_retained() : geometry[i].n_ff);
    compare_counts(subject, "continuum.per_layer_feed_forward_lengths", expected, problems);
}

void compare_scores(const Subject& subject, Problems& problems) {
    constexpr std::string_view kKey = "continuum.utilization_scores";
    std::vector<float> expected;
    const Topology& topology = subject.recipe->topology;
    for (const LayerTopology& layer : topology.layers) {
        for (const double score : layer.head_scores) expected.push_back(static_cast<float>(score));
        const auto full = static_cast<std::size_t>(topology.original_num_heads);  // shorter layers are filled up with 0
        expected.resize(expected.size() + full - std::min(full, layer.head_scores.size()));
    }
    try {
        const auto* got = subject.file.metadata().array<float>(kKey);
        if (got == nullptr)
            problems.push_back(fmt::format("{} is missing", kKey));
        else if (*got != expected)
            problems.push_back(fmt::format("{} differ from the recipe's ({} values; expected {})", kKey, got->size(),
                                           expected.size()));
    } catch (const Error& error) {
        problems.push_back(error.what());
    }
}

/// Rows are longer than the model has them exactly where the recipe says so.
void compare_padded_columns(const Recipe& recipe, const Model& model, Problems& problems) {
    for (const ModelTensor& tensor : model.tensors()) {
        const QuantAssignment* assigned = is_matrix(tensor.id) ? recipe.assignment_for(hf_name(tensor.id)) : nullptr;
        if (assigned != nullptr && assigned->padded_columns != tensor.padded_cols)
            problems.push_back(fmt::format("{} has {}; expected {}", tensor.name,
                                           column_padding_text(tensor.cols, tensor.padded_cols),
                                           column_padding_text(tensor.cols, assigned->padded_columns)));
    }
}

void compare_with_base(const Subject& subject, const Model& base, Problems& problems) {
    OutputLayout layout;
    try {
        layout = lay_out(base, *subject.recipe, {.with_tokenizer = true});
    } catch (const Error& error) {
        problems.push_back(error.what());
        return;
    }
    for (const GgufTensorSpec& expected : layout.file.tensors) {
        const GgufTensor* got = subject.file.find(expected.name);
        if (got == nullptr)
            problems.push_back(fmt::format("{} is missing", expected.name));
        else if (got->type != expected.type || got->dims != expected.dims)
            problems.push_back(fmt::format("{} is {} [{}]; expected {} [{}]", expected.name, ggml_type_name(got->type),
                                           fmt::join(got->dims, ", "), ggml_type_name(expected.type),
                                           fmt::join(expected.dims, ", ")));
    }
    if (subject.file.tensors().size() != layout.file.tensors.size())
        problems.push_back(fmt::format("{} tensors; the base and the recipe make {}", subject.file.tensors().size(),
                                       layout.file.tensors.size()));
}

/// Of the matrix in the model, without padding of its own.
std::int64_t columns_of(const Subject& subject, const TensorId& id, const GgufTensor& stored) {
    const ModelTensor* tensor = subject.model ? subject.model->find(id) : nullptr;
    return tensor != nullptr ? tensor->cols : stored.row_length();
}

std::string summary(const Subject& subject, const Model* base) {
    const Architecture& architecture = subject.model->architecture();
    std::int64_t heads = 0, kv_heads = 0, channels = 0;
    for (const LayerGeometry& layer : architecture.layers) {
        channels += layer.n_ff;
        heads += layer.n_head;
        kv_heads += layer.n_head_kv;
    }
    const char* against = !subject.recipe ? "its own metadata say; no recipe is embedded"
                          : base          ? "recipe and base say"
                                          : "the recipe says";
    const bool is_padded = subject.recipe && subject.recipe->padding.any();
    const bool loses_channels = subject.recipe && subject.recipe->prunes_feed_forward();
    return fmt::format("{}: {} tensors, {} layers with {} query and {} KV heads in all{}{}, as {}", architecture.name,
                       subject.file.tensors().size(), architecture.n_layer(), heads, kv_heads,
                       loses_channels ? fmt::format(" and {} feed-forward channels", channels) : "",
                       is_padded ? ", padded to " + padding_text(subject.recipe->padding) : "", against);
}

}  // namespace

Check check_structure(const Subject& subject, const Model* base) {
    Problems problems;
    if (!subject.recipe_problem.empty()) problems.push_back(subject.recipe_problem);
    if (!subject.model) problems.push_back(subject.model_problem);
    if (subject.recipe) {
        if (subject.model) {
            compare_layers(*subject.recipe, subject.model->architecture(), problems);
            compare_padded_columns(*subject.recipe, *subject.model, problems);
        }
        compare_heads(subject, "continuum.per_layer_head_counts", &LayerTopology::num_heads, problems);
        compare_heads(subject, "continuum.per_layer_kv_head_counts", &LayerTopology::num_kv_heads, problems);
        compare_widths(subject, problems);
        compare_scores(subject, problems);
        if (base) compare_with_base(subject, *base, problems);
    }
    return make_check("structure", problems, problems.empty() ? summary(subject, base) : "");
}

Check check_types(const Subject& subject) {
    Problems problems;
    std::map<std::string, std::size_t> matrices_of_type, matrices_aligned;
    for (const GgufTensor& tensor : subject.file.tensors()) {
        const auto id = parse_gguf_name(tensor.name);
        if (!id || !is_matrix(*id)) continue;
        ++matrices_of_type[ggml_type_name(tensor.type)];
        ++matrices_aligned[alignment_of(tensor.type, columns_of(subject, *id, tensor), tensor.row_length())];
        if (!subject.recipe) continue;
        const QuantAssignment* assigned = subject.recipe->assignment_for(hf_name(*id));
        if (assigned == nullptr)
            problems.push_back(fmt::format("{} has no assignment in the recipe", tensor.name));
        else if (assigned->type != tensor.type)
            problems.push_back(fmt::format("{} is {}; expected {}", tensor.name, ggml_type_name(tensor.type),
                                           ggml_type_name(assigned->type)));
    }
    std::vector<std::string> counts, rows;
    for (const auto& [type, count] : matrices_of_type) counts.push_back(fmt::format("{} {}", count, type));
    for (const auto& [alignment, count] : matrices_aligned) rows.push_back(fmt::format("{} in {}", count, alignment));
    return make_check(
        "types", problems,
        fmt::format("matrices: {}{}; rows: {}", fmt::join(counts, ", "),
                    subject.recipe ? ", as the recipe says" : "; no recipe to compare with", fmt::join(rows, ", ")));
}

}  // namespace plasticity
