#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "artifact/json_text.h"
#include "artifact/recipe.h"
#include "artifact/type_names.h"
#include "core/error.h"
#include "core/units.h"
#include "io/gguf_reader.h"
#include "io/problem_list.h"
#include "io/strict_json.h"
#include "model/attempt.h"
#include "model/model.h"

namespace plasticity {
namespace {

using Json = nlohmann::ordered_json;  // written in the order in which it is filled
using Parsed = nlohmann::json;

constexpr std::uint64_t kMaxRecipeBytes = std::uint64_t{64} << 20;
constexpr std::int64_t kMaxInt = std::numeric_limits<std::int32_t>::max();
constexpr double kMostEqualization = 4;  // scales by X ÷ W themselves, far beyond what could pay
constexpr std::int64_t kMaxBytes = std::numeric_limits<std::int64_t>::max();

/// Ranges as one flat list, first and last by turns: a block has hundreds of them.
Json feed_forward_json(const FeedForwardTopology& feed_forward) {
    Json json;
    json["numChannels"] = feed_forward.n_retained();
    json["originalNumChannels"] = feed_forward.original_channels;
    json["retainedRanges"] = Json::array();
    for (const ChannelRange& range : feed_forward.retained) {
        json["retainedRanges"].push_back(range.first);
        json["retainedRanges"].push_back(range.last);
    }
    return json;
}

Json topology_json(const Topology& topology) {
    Json json;
    json["baseModel"] = topology.base_model;
    json["originalNumHeads"] = topology.original_num_heads;
    json["originalNumKvHeads"] = topology.original_num_kv_heads;
    json["headDim"] = topology.head_dim;
    json["parameterReduction"] = topology.parameter_reduction;
    json["precisionProfile"] = topology.precision_profile;
    json["layers"] = Json::array();
    for (const LayerTopology& layer : topology.layers) {
        Json item;
        item["layerIndex"] = layer.layer_index;
        item["numHeads"] = layer.num_heads;
        item["numKvHeads"] = layer.num_kv_heads;
        item["retainedHeadIndices"] = layer.retained_head_indices;
        item["retainedKvHeadIndices"] = layer.retained_kv_head_indices;
        item["headScores"] = layer.head_scores;
        if (layer.feed_forward) item["feedForward"] = feed_forward_json(*layer.feed_forward);
        json["layers"].push_back(std::move(item));
    }
    return json;
}

Json budget_json(const Budget& budget) {
    Json json;
    json["embeddingBytes"] = budget.embedding_bytes;
    json["attentionBytes"] = budget.attention_bytes;
    json["mlpBytes"] = budget.mlp_bytes;
    json["normBytes"] = budget.norm_bytes;
    json["kvCacheMaxBytes"] = budget.kv_cache_max_bytes;
    json["computeBytes"] = budget.compute_bytes;
    json["totalBytes"] = budget.total_bytes;
    json["fileBytes"] = budget.file_bytes;
    json["limitBytes"] = budget.limit_bytes;
    return json;
}

Json device_json(const std::optional<Device>& device) {
    if (!device) return nullptr;
    Json json;
    json["label"] = device->label;
    json["memoryGb"] = static_cast<double>(device->memory_bytes) / kGb;
    json["reservedGb"] = static_cast<double>(device->reserved_bytes) / kGb;
    return json;
}

std::uint64_t read_gb(ObjectReader& reader, std::string_view key) {
    const double gb = reader.number(key);
    if (!(gb >= 0 && gb <= 1e6)) reader.fail(key, fmt::format("is {}; expected 0 to 1000000", gb));
    return static_cast<std::uint64_t>(std::llround(gb * kGb));
}

std::optional<Device> read_device(const Parsed& json) {
    if (json.is_null()) return std::nullopt;
    ObjectReader reader(json, "deviceSpec");
    Device device;
    device.label = reader.text("label");
    device.memory_bytes = read_gb(reader, "memoryGb");
    device.reserved_bytes = read_gb(reader, "reservedGb");
    if (device.reserved_bytes > device.memory_bytes) reader.fail("reservedGb", "is more than memoryGb");
    reader.finish();
    return device;
}

Budget read_budget(const Parsed& json) {
    ObjectReader reader(json, "budget");
    const auto bytes = [&](std::string_view key) {
        return static_cast<std::uint64_t>(reader.integer(key, 0, kMaxBytes));
    };
    Budget budget;
    budget.embedding_bytes = bytes("embeddingBytes");
    budget.attention_bytes = bytes("attentionBytes");
    budget.mlp_bytes = bytes("mlpBytes");
    budget.norm_bytes = bytes("normBytes");
    budget.kv_cache_max_bytes = bytes("kvCacheMaxBytes");
    budget.compute_bytes = bytes("computeBytes");
    budget.total_bytes = bytes("totalBytes");
    budget.file_bytes = bytes("fileBytes");
    budget.limit_bytes = bytes("limitBytes");
    reader.finish();
    return budget;
}

Json padding_json(const Padding& padding) {
    Json json;
    if (padding.width > 0) json["width"] = padding.width;
    if (padding.heads > 0) json["heads"] = padding.heads;
    if (padding.feed_forward > 0) json["feedForward"] = padding.feed_forward;
    return json;
}

Padding read_padding(const Parsed& json) {
    ObjectReader reader(json, "padding");
    const auto size = [&](std::string_view key) {
        return reader.has(key) ? static_cast<std::int32_t>(reader.integer(key, 1, kMaxInt)) : 0;
    };
    const Padding padding{.width = size("width"), .heads = size("heads"), .feed_forward = size("feedForward")};
    reader.finish();
    if (!padding.any())
        throw Error(ErrorKind::kMalformed, "padding: is empty; expected width, heads or feedForward, or no padding");
    return padding;
}

void require_ascending(const ObjectReader& reader, std::string_view key, const std::vector<std::int32_t>& indices) {
    for (std::size_t i = 1; i < indices.size(); ++i)
        if (indices[i] <= indices[i - 1])
            reader.fail(key, fmt::format("has {} after {}; expected ascending indices", indices[i], indices[i - 1]));
}

FeedForwardTopology read_feed_forward(const Parsed& json, const std::string& where) {
    ObjectReader reader(json, where + ": feedForward");
    FeedForwardTopology feed_forward;
    const std::int64_t n_retained = reader.integer("numChannels", 1, kMaxInt);
    feed_forward.original_channels = static_cast<std::int32_t>(reader.integer("originalNumChannels", 1, kMaxInt));
    const std::vector<std::int32_t> ends = reader.integers("retainedRanges", 0);
    if (ends.size() % 2 != 0)
        reader.fail("retainedRanges", fmt::format("has {} numbers; expected first and last by turns", ends.size()));
    for (std::size_t i = 0; i < ends.size(); i += 2) feed_forward.retained.push_back({ends[i], ends[i + 1]});
    if (const std::string problem = problem_of(feed_forward); !problem.empty()) reader.fail("retainedRanges", problem);
    if (feed_forward.n_retained() != n_retained)
        reader.fail("numChannels", fmt::format("is {}; retainedRanges hold {}", n_retained, feed_forward.n_retained()));
    reader.finish();
    return feed_forward;
}

LayerTopology read_layer(const Parsed& json, const std::string& where) {
    ObjectReader reader(json, where);
    LayerTopology layer;
    layer.layer_index = static_cast<std::int32_t>(reader.integer("layerIndex", 0, kMaxInt));
    layer.num_heads = static_cast<std::int32_t>(reader.integer("numHeads", 0, kMaxInt));
    layer.num_kv_heads = static_cast<std::int32_t>(reader.integer("numKvHeads", 0, kMaxInt));
    layer.retained_head_indices = reader.integers("retainedHeadIndices", 0);
    layer.retained_kv_head_indices = reader.integers("retainedKvHeadIndices", 0);
    layer.head_scores = reader.numbers("headScores");
    if (reader.has("feedForward")) layer.feed_forward = read_feed_forward(reader.value("feedForward"), where);
    require_ascending(reader, "retainedHeadIndices", layer.retained_head_indices);
    require_ascending(reader, "retainedKvHeadIndices", layer.retained_kv_head_indices);
    for (const double score : layer.head_scores)
        if (score < 0) reader.fail("headScores", fmt::format("holds {}; expected at least 0", score));
    reader.finish();
    return layer;
}

Topology read_topology(const Parsed& json, ProblemList& problems) {
    ObjectReader reader(json, "topology");
    Topology topology;
    topology.base_model = reader.text("baseModel");
    topology.original_num_heads = static_cast<std::int32_t>(reader.integer("originalNumHeads", 0, kMaxInt));
    topology.original_num_kv_heads = static_cast<std::int32_t>(reader.integer("originalNumKvHeads", 0, kMaxInt));
    topology.head_dim = static_cast<std::int32_t>(reader.integer("headDim", 1, kMaxInt));
    topology.parameter_reduction = reader.number("parameterReduction");
    if (topology.parameter_reduction < 0 || topology.parameter_reduction > 1)
        reader.fail("parameterReduction", fmt::format("is {}; expected 0 to 1", topology.parameter_reduction));
    topology.precision_profile = reader.text("precisionProfile");
    const Parsed& layers = reader.value("layers");
    if (!layers.is_array()) reader.fail("layers", "is no array");
    for (std::size_t i = 0; i < layers.size(); ++i)
        attempt(problems,
                [&] { topology.layers.push_back(read_layer(layers[i], fmt::format("topology: layers[{}]", i))); });
    reader.finish();
    return topology;
}

std::int32_t read_padded_columns(ObjectReader& reader, ggml_type type) {
    constexpr std::string_view kKey = "paddedColumns";
    if (!reader.has(kKey)) return 0;
    const std::int64_t columns = reader.integer(kKey, 1, kMaxInt), block = ggml_blck_size(type);
    if (block == 1 || columns % block != 0)
        reader.fail(kKey, block == 1 ? fmt::format("is {}; expected none, since {} has no blocks", columns,
                                                   ggml_type_name(type))
                                     : fmt::format("is {}; expected a multiple of the {} weights in a block of {}",
                                                   columns, block, ggml_type_name(type)));
    return static_cast<std::int32_t>(columns);
}

QuantAssignment read_assignment(const Parsed& json, const std::string& where) {
    ObjectReader reader(json, where);
    QuantAssignment assignment;
    assignment.pattern = reader.text("pattern");
    const std::string name = reader.text("quantType");
    const auto type = parse_weight_type(name);
    if (!type) reader.fail("quantType", fmt::format("is \"{}\"; expected one of {}", name, weight_type_names()));
    assignment.type = *type;
    assignment.reason = reader.text("reason");
    if (reader.has("errorFeedback")) assignment.error_feedback = reader.boolean("errorFeedback");
    assignment.padded_columns = read_padded_columns(reader, assignment.type);
    reader.finish();
    return assignment;
}

std::vector<QuantAssignment> read_assignments(const Parsed& json, ProblemList& problems) {
    if (!json.is_array())
        throw Error(ErrorKind::kMalformed, fmt::format("tensorQuantMap: got {}; expected an array", json.type_name()));
    std::vector<QuantAssignment> assignments;
    for (std::size_t i = 0; i < json.size(); ++i)
        attempt(problems,
                [&] { assignments.push_back(read_assignment(json[i], fmt::format("tensorQuantMap[{}]", i))); });
    return assignments;
}

std::optional<double> read_nats(ObjectReader& reader, std::string_view key) {
    if (!reader.has(key)) return std::nullopt;
    return reader.amount(key);
}

double read_equalization(ObjectReader& reader) {
    constexpr std::string_view kKey = "equalization";
    if (!reader.has(kKey)) return 0;
    const double strength = reader.number(kKey);
    if (!(strength > 0 && strength <= kMostEqualization))
        reader.fail(kKey, fmt::format("is {}; expected more than 0, at most {}", strength, kMostEqualization));
    return strength;
}

/// What is no object or array of its own. Each value is tried, so that all problems come up together.
void read_plan(const Parsed& json, ProblemList& problems, Recipe& recipe) {
    ObjectReader reader(json, "at the top");
    const auto read_text = [&](std::string_view key, std::string& to) {
        attempt(problems, [&] { to = reader.text(key); });
    };
    read_text("pipelineVersion", recipe.pipeline_version);
    read_text("policy", recipe.policy);
    read_text("baseModel", recipe.base_model);
    read_text("baseModelSha256", recipe.base_model_sha256);
    read_text("outputArchitecture", recipe.output_architecture);
    read_text("stockReason", recipe.stock_reason);
    read_text("kvType", recipe.kv_type);
    attempt(problems, [&] {
        recipe.predicted_kl = read_nats(reader, "predictedKl");
        recipe.predicted_kl_error = read_nats(reader, "predictedKlError");
        recipe.predicted_damage = read_nats(reader, "predictedDamage");
        if (reader.has("countsOnErrorFeedback")) recipe.counts_on_feedback = reader.boolean("countsOnErrorFeedback");
        if (reader.has("pruning")) recipe.pruning = reader.text("pruning");
        if (reader.has("alignment")) recipe.alignment = reader.text("alignment");
        recipe.equalization = read_equalization(reader);
    });
    attempt(problems, [&] {
        if (reader.has("calibration")) recipe.calibration = read_calibration(reader.value("calibration"));
    });
    attempt(problems, [&] {
        if (reader.has("refinement")) recipe.refinement = read_refinement(reader.value("refinement"));
    });
    attempt(problems, [&] {
        if (reader.has("padding")) recipe.padding = read_padding(reader.value("padding"));
    });
    attempt(problems, [&] { recipe.stock = reader.boolean("stock"); });
    attempt(problems,
            [&] { recipe.context_length = static_cast<std::int32_t>(reader.integer("contextLength", 1, kMaxInt)); });
    for (const std::string_view key : {"schemaVersion", "deviceSpec", "budget", "topology", "tensorQuantMap"})
        attempt(problems, [&] { (void)reader.value(key); });  // read elsewhere
    attempt(problems, [&] { reader.finish(); });
}

}  // namespace

std::string recipe_to_json(const Recipe& recipe) {
    Json json;
    json["schemaVersion"] = Recipe::kSchemaVersion;
    json["pipelineVersion"] = recipe.pipeline_version;
    json["policy"] = recipe.policy;
    if (recipe.predicted_kl) json["predictedKl"] = *recipe.predicted_kl;
    if (recipe.predicted_kl_error) json["predictedKlError"] = *recipe.predicted_kl_error;
    if (recipe.predicted_damage) json["predictedDamage"] = *recipe.predicted_damage;
    if (recipe.calibration) json["calibration"] = calibration_json(*recipe.calibration);
    if (recipe.refinement) json["refinement"] = refinement_json(*recipe.refinement);
    if (recipe.counts_on_feedback) json["countsOnErrorFeedback"] = true;
    if (!recipe.pruning.empty()) json["pruning"] = recipe.pruning;
    if (!recipe.alignment.empty()) json["alignment"] = recipe.alignment;
    if (recipe.padding.any()) json["padding"] = padding_json(recipe.padding);
    if (recipe.equalization > 0) json["equalization"] = recipe.equalization;
    json["baseModel"] = recipe.base_model;
    json["baseModelSha256"] = recipe.base_model_sha256;
    json["outputArchitecture"] = recipe.output_architecture;
    json["stock"] = recipe.stock;
    json["stockReason"] = recipe.stock_reason;
    json["deviceSpec"] = device_json(recipe.device);
    json["contextLength"] = recipe.context_length;
    json["kvType"] = recipe.kv_type;
    json["budget"] = budget_json(recipe.budget);
    json["topology"] = topology_json(recipe.topology);
    json["tensorQuantMap"] = Json::array();
    for (const QuantAssignment& assignment : recipe.tensor_quant_map) {
        Json item;
        item["pattern"] = assignment.pattern;
        item["quantType"] = ggml_type_name(assignment.type);
        item["reason"] = assignment.reason;
        if (!assignment.error_feedback) item["errorFeedback"] = false;
        if (assignment.padded_columns > 0) item["paddedColumns"] = assignment.padded_columns;
        json["tensorQuantMap"].push_back(std::move(item));
    }
    return json_text(json);
}

Recipe recipe_from_json(std::string_view text, std::string_view where) {
    const Parsed json = parse_strict_json(text, std::string(where));
    ObjectReader reader(json, std::string(where));
    reader.require_schema("schemaVersion", Recipe::kSchemaVersion);  // another version's keys would all be problems
    ProblemList problems(std::string(where) + ": recipe");
    Recipe recipe;
    read_plan(json, problems, recipe);
    attempt(problems, [&] { recipe.device = read_device(reader.value("deviceSpec")); });
    attempt(problems, [&] { recipe.budget = read_budget(reader.value("budget")); });
    attempt(problems, [&] { recipe.topology = read_topology(reader.value("topology"), problems); });
    attempt(problems, [&] { recipe.tensor_quant_map = read_assignments(reader.value("tensorQuantMap"), problems); });
    problems.throw_if_any();
    return recipe;
}

std::optional<Recipe> embedded_recipe(const GgufMetadata& metadata, const std::filesystem::path& path) {
    if (!metadata.contains(kRecipeKey)) return std::nullopt;
    return recipe_from_json(metadata.text(kRecipeKey), fmt::format("{} of {}", kRecipeKey, path.string()));
}

std::optional<Recipe> embedded_recipe(const Model& model) {
    if (model.path().extension() != ".gguf") return std::nullopt;
    return embedded_recipe(GgufReader(model.path()).metadata(), model.path());
}

void save_recipe(const Recipe& recipe, const std::filesystem::path& target, Overwrite overwrite) {
    write_text_file(target, recipe_to_json(recipe), overwrite);
}

Recipe load_recipe(const std::filesystem::path& path) {
    return recipe_from_json(read_text_file(path, kMaxRecipeBytes), path.string());
}

}  // namespace plasticity
