#include "artifact/frontier.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>

#include "artifact/json_text.h"
#include "core/units.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

using Json = nlohmann::ordered_json;

std::string summary(const FrontierPoint& point) {
    return fmt::format("{} ({}, mean KL {})", point.name, format_bytes(point.file_bytes), point.quality.mean_kl_text());
}

/// What stands beside the chosen one: the next smaller point of the frontier and the next larger.
std::string neighbours(const Frontier& frontier, const std::vector<std::size_t>& frontier_order, std::size_t chosen) {
    const std::size_t at = static_cast<std::size_t>(std::find(frontier_order.begin(), frontier_order.end(), chosen) -
                                                    frontier_order.begin());
    std::string text;
    if (at > 0) text += fmt::format("; next smaller: {}", summary(frontier.points[frontier_order[at - 1]]));
    if (at + 1 < frontier_order.size())
        text += fmt::format("; next larger: {}", summary(frontier.points[frontier_order[at + 1]]));
    return text;
}

std::uint64_t bytes_of(ObjectReader& reader, std::string_view key) {
    return static_cast<std::uint64_t>(reader.integer(key, 0, std::numeric_limits<std::int64_t>::max()));
}

constexpr std::uint64_t kMaxFrontierBytes = std::uint64_t{16} << 20;

Device read_device(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    Device device;
    device.label = reader.text("label");
    device.memory_bytes = bytes_of(reader, "memoryBytes");
    device.reserved_bytes = bytes_of(reader, "reservedBytes");
    if (device.reserved_bytes > device.memory_bytes) reader.fail("reservedBytes", "is more than memoryBytes");
    reader.finish();
    return device;
}

const nlohmann::json& array_of(ObjectReader& reader, std::string_view key) {
    const nlohmann::json& held = reader.value(key);
    if (!held.is_array()) reader.fail(key, "is no array");
    return held;
}

SkippedPoint read_skipped(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    SkippedPoint point{.name = reader.text("name"), .reason = reader.text("reason")};
    reader.finish();
    return point;
}

Json device_json(const Device& device) {
    Json json;
    json["label"] = device.label;
    json["memoryBytes"] = device.memory_bytes;
    json["reservedBytes"] = device.reserved_bytes;
    return json;
}

}  // namespace

const FrontierPoint* Frontier::recommended_point() const {
    const auto found =
        std::ranges::find_if(points, [&](const FrontierPoint& point) { return point.name == recommended; });
    return found == points.end() ? nullptr : &*found;
}

std::vector<std::size_t> pareto_indices(const std::vector<FrontierPoint>& points) {
    std::vector<std::size_t> order(points.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(
        order, {}, [&](std::size_t i) { return std::tuple(points[i].file_bytes, points[i].quality.mean_kl); });
    std::vector<std::size_t> kept;
    for (const std::size_t i : order)
        if (kept.empty() || points[i].quality.mean_kl < points[kept.back()].quality.mean_kl) kept.push_back(i);
    return kept;
}

void recommend(Frontier& frontier) {
    const std::vector<std::size_t> order = pareto_indices(frontier.points);
    if (order.empty()) {
        frontier.recommended.clear();
        frontier.reason = "no plan that fits could be measured";
        return;
    }
    const auto good = std::ranges::find_if(
        order, [&](std::size_t i) { return frontier.points[i].quality.mean_kl <= frontier.max_kl; });
    const std::size_t chosen = good != order.end() ? *good : order.back();
    frontier.recommended = frontier.points[chosen].name;
    const std::string why =
        good != order.end()
            ? fmt::format("the smallest whose mean KL is at most {:.3g} nats", frontier.max_kl)
            : fmt::format("none that fits comes to a mean KL of {:.3g} nats; this one is nearest", frontier.max_kl);
    frontier.reason =
        fmt::format("{}: {}{}", summary(frontier.points[chosen]), why, neighbours(frontier, order, chosen));
}

Json frontier_point_json(const FrontierPoint& point) {
    Json json;
    json["name"] = point.name;
    json["variant"] = point.variant;
    json["recipe"] = point.recipe;
    json["fileBytes"] = point.file_bytes;
    json["runTimeBytes"] = point.run_time_bytes;
    json["parameterReduction"] = point.parameter_reduction;
    if (point.predicted_kl) json["predictedKl"] = *point.predicted_kl;
    json["quality"] = quality_json(point.quality);
    json["generatedTokensPerSecond"] = point.generated_tokens_per_second;
    return json;
}

FrontierPoint read_frontier_point(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    FrontierPoint point;
    point.name = reader.text("name");
    point.variant = reader.text("variant");
    point.recipe = reader.text("recipe");
    point.file_bytes = bytes_of(reader, "fileBytes");
    point.run_time_bytes = bytes_of(reader, "runTimeBytes");
    point.parameter_reduction = reader.amount("parameterReduction");
    if (reader.has("predictedKl")) point.predicted_kl = reader.amount("predictedKl");
    point.quality = read_quality(reader.value("quality"), where + ": quality");
    point.generated_tokens_per_second = reader.amount("generatedTokensPerSecond");
    reader.finish();
    return point;
}

std::string frontier_to_json(const Frontier& frontier) {
    Json json;
    json["schemaVersion"] = Frontier::kSchemaVersion;
    json["model"] = frontier.model;
    json["device"] = device_json(frontier.device);
    json["contextLength"] = frontier.context_length;
    json["maxKl"] = frontier.max_kl;
    json["recommended"] = frontier.recommended;
    json["reason"] = frontier.reason;
    json["frontier"] = Json::array();
    for (const std::size_t i : pareto_indices(frontier.points)) json["frontier"].push_back(frontier.points[i].name);
    json["points"] = Json::array();
    for (const FrontierPoint& point : frontier.points) json["points"].push_back(frontier_point_json(point));
    json["skipped"] = Json::array();
    for (const SkippedPoint& point : frontier.skipped) {
        Json item;
        item["name"] = point.name;
        item["reason"] = point.reason;
        json["skipped"].push_back(std::move(item));
    }
    return json_text(json);
}

Frontier frontier_from_json(std::string_view text, const std::string& where) {
    const nlohmann::json json = parse_strict_json(text, where);
    ObjectReader reader(json, where);
    reader.require_schema("schemaVersion", Frontier::kSchemaVersion);
    Frontier frontier;
    frontier.model = reader.text("model");
    frontier.device = read_device(reader.value("device"), where + ": device");
    frontier.context_length =
        static_cast<std::int32_t>(reader.integer("contextLength", 0, std::numeric_limits<std::int32_t>::max()));
    frontier.max_kl = reader.amount("maxKl");
    frontier.recommended = reader.text("recommended");
    frontier.reason = reader.text("reason");
    array_of(reader, "frontier");  // follows from the points
    for (const auto& point : array_of(reader, "points"))
        frontier.points.push_back(
            read_frontier_point(point, fmt::format("{}: point {}", where, frontier.points.size())));
    for (const auto& point : array_of(reader, "skipped"))
        frontier.skipped.push_back(read_skipped(point, fmt::format("{}: skipped {}", where, frontier.skipped.size())));
    reader.finish();
    return frontier;
}

Frontier load_frontier(const std::filesystem::path& path) {
    return frontier_from_json(read_text_file(path, kMaxFrontierBytes), path.string());
}

void save_frontier(const Frontier& frontier, const std::filesystem::path& target, Overwrite overwrite) {
    write_text_file(target, frontier_to_json(frontier), overwrite);
}

}  // namespace plasticity
