#include "cli/inspection.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "artifact/gate_gradients.h"
#include "artifact/recipe.h"
#include "artifact/statistics.h"
#include "core/error.h"
#include "io/atomic_file.h"
#include "io/gguf_reader.h"
#include "io/printable.h"
#include "io/strict_json.h"
#include "model/model.h"
#include "plan/explain.h"
#include "report/score_map.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr std::uint64_t kMaxJsonBytes = std::uint64_t{256} << 20;  // as much as the largest artifact may take

ordered_json per_layer(const Architecture& architecture, std::int32_t LayerGeometry::* count) {
    if (architecture.is_uniform()) return architecture.layers.empty() ? 0 : architecture.layers.front().*count;
    ordered_json counts = ordered_json::array();
    for (const LayerGeometry& layer : architecture.layers) counts.push_back(layer.*count);
    return counts;
}

ordered_json inspect_tied_copy(const TiedCopy& copy) {
    return {{"name", copy.name},
            {"type", ggml_type_name(copy.type)},
            {"bytes", copy.bytes},
            {"relative_error", copy.relative_error ? ordered_json(*copy.relative_error) : nullptr}};
}

/// Of matrices whose rows end in zeros that the model does not have.
ordered_json inspect_padded_columns(const Model& model) {
    std::size_t matrices = 0;
    std::uint64_t bytes = 0;
    for (const ModelTensor& tensor : model.tensors()) {
        if (tensor.padded_cols == 0) continue;
        ++matrices;
        bytes += tensor.bytes();
    }
    return {{"matrices", matrices}, {"bytes", bytes}, {"stock", false}};
}

ordered_json inspect_model(const fs::path& path) {
    const auto model = open_model(path);
    const Architecture& a = model->architecture();
    std::map<std::string, std::pair<std::int64_t, std::uint64_t>> types;
    const std::uint64_t weights = weight_count(*model);
    std::uint64_t bytes = 0;
    for (const ModelTensor& tensor : model->tensors()) {
        auto& [count, type_bytes] = types[ggml_type_name(tensor.type)];
        count += 1;
        type_bytes += tensor.bytes();
        bytes += tensor.bytes();
    }
    ordered_json by_type;
    for (const auto& [type, sums] : types) by_type[type] = {{"tensors", sums.first}, {"bytes", sums.second}};
    ordered_json found{
        {"kind", "model"},
        {"path", path.string()},
        {"architecture", a.name},
        {"name", a.model_name},
        {"layers", a.n_layer()},
        {"embedding_length", a.n_embd},
        {"vocabulary", a.n_vocab},
        {"head_dim", a.head_dim},
        {"heads", per_layer(a, &LayerGeometry::n_head)},
        {"kv_heads", per_layer(a, &LayerGeometry::n_head_kv)},
        {"feed_forward_length", per_layer(a, &LayerGeometry::n_ff)},
        {"context_length", a.context_length},
        {"tied_embeddings", a.tied_embeddings},
        {"parameters", weights},
        {"weight_bytes", bytes},
        {"bits_per_weight", 8.0 * static_cast<double>(bytes) / static_cast<double>(weights)},
        {"types", by_type},
    };
    if (model->tied_copy()) found["tied_copy"] = inspect_tied_copy(*model->tied_copy());
    if (std::ranges::any_of(model->tensors(), [](const ModelTensor& tensor) { return tensor.padded_cols > 0; }))
        found["padded_columns"] = inspect_padded_columns(*model);
    return found;
}

bool is_statistics(const GgufReader& file) {
    return file.metadata().text_or("general.type", "") == "imatrix";
}

ordered_json inspect_statistics(const fs::path& path) {
    const Statistics statistics = load_statistics(path);
    std::int64_t tokens = 0;
    for (const auto& [name, entry] : statistics.matrices) tokens = std::max(tokens, entry.count);
    return {{"kind", "statistics"},
            {"path", path.string()},
            {"matrices", statistics.matrices.size()},
            {"tokens", tokens},
            {"chunk_size", statistics.chunk_size},
            {"chunk_count", statistics.chunk_count},
            {"datasets", statistics.datasets}};
}

ordered_json inspect_gate_gradients(const fs::path& path) {
    const GateGradients gradients = load_gate_gradients(path);
    ordered_json document{{"kind", "gate_gradients"},        {"path", path.string()},
                          {"model", gradients.model_name},   {"layers", gradients.absolute_sums.size()},
                          {"heads", gradients.num_heads},    {"kv_heads", gradients.num_kv_heads},
                          {"examples", gradients.num_steps}, {"tokens", gradients.num_tokens},
                          {"mean_loss", gradients.mean_loss}};
    if (const auto& slice = gradients.slice)
        document["slice"] = fmt::format("{} of {}", slice->part.index, slice->part.count);
    document["layer_scores"] = gradients.layer_scores();
    return document;
}

ordered_json inspect_json(const fs::path& path) {
    const std::string text = read_text_file(path, kMaxJsonBytes);
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string::npos || text[first] != '{')
        throw Error(ErrorKind::kMalformed,
                    fmt::format("inspect: {} is neither GGUF nor a JSON object; expected a model, statistics, "
                                "gate_gradients.json or recipe.json",
                                path.string()));
    if (parse_strict_json(text, path.string()).contains("tensorQuantMap")) {
        ordered_json recipe = ordered_json::parse(recipe_to_json(load_recipe(path)));
        recipe["kind"] = "recipe";
        return recipe;
    }
    return inspect_gate_gradients(path);
}

bool begins_with_gguf(const fs::path& path) {
    const InputFile file(path);
    std::array<std::byte, 4> magic{};
    if (file.size() < magic.size()) return false;
    file.read(0, magic);
    return std::equal(magic.begin(), magic.end(), std::as_bytes(std::span("GGUF", 4)).begin());
}

/// Data sets and names come out of files that may hold any bytes.
std::string plain_text(const ordered_json& value) {
    if (value.is_string()) return value.get<std::string>();
    return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace

ordered_json inspect(const fs::path& given) {
    const fs::path path = locate_model(given);
    if (fs::is_directory(path)) return inspect_model(path);
    if (!begins_with_gguf(path) && path.extension() != ".gguf") return inspect_json(path);
    if (is_statistics(GgufReader(path))) return inspect_statistics(path);
    return inspect_model(path);
}

std::string inspection_text(const ordered_json& inspection) {
    if (inspection.at("kind") == "recipe") {
        ordered_json recipe = inspection;
        recipe.erase("kind");
        return explain(recipe_from_json(recipe.dump(), "recipe"));
    }
    std::string text;
    for (const auto& [key, value] : inspection.items()) {
        if (key == "layer_scores")
            text += score_map_text({value.get<std::vector<std::vector<double>>>()});
        else
            text += fmt::format("  {:<20} {}\n", key, terminal_text(plain_text(value)));
    }
    if (!text.empty()) text.pop_back();
    return text;
}

}  // namespace plasticity
