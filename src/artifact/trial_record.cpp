#include "artifact/trial_record.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "artifact/json_text.h"

namespace plasticity {
namespace {

using Json = nlohmann::ordered_json;
using Parsed = nlohmann::json;

constexpr std::int64_t kMostPositions = std::numeric_limits<std::int32_t>::max();

const Parsed& array_of(ObjectReader& reader, std::string_view key) {
    const Parsed& array = reader.value(key);
    if (!array.is_array()) reader.fail(key, "is no array");
    return array;
}

CalibrationCorner read_corner(const Parsed& json, const std::string& where) {
    ObjectReader reader(json, where);
    CalibrationCorner corner{.plan = reader.text("plan"),
                             .predicted_damage = reader.amount("predictedDamage"),
                             .measured_kl = reader.amount("measuredKl"),
                             .standard_error = reader.amount("standardError")};
    reader.finish();
    return corner;
}

RefinedChange read_change(const Parsed& json, const std::string& where) {
    ObjectReader reader(json, where);
    RefinedChange change{.change = reader.text("change"),
                         .difference = reader.number("difference"),
                         .standard_error = reader.amount("standardError")};
    reader.finish();
    return change;
}

}  // namespace

Json calibration_json(const Calibration& calibration) {
    Json json;
    json["positions"] = calibration.positions;
    json["floor"] = calibration.floor;
    json["ceiling"] = calibration.ceiling;
    json["rate"] = calibration.rate;
    json["relativeError"] = calibration.relative_error;
    json["corners"] = Json::array();
    for (const CalibrationCorner& corner : calibration.corners) {
        Json item;
        item["plan"] = corner.plan;
        item["predictedDamage"] = corner.predicted_damage;
        item["measuredKl"] = corner.measured_kl;
        item["standardError"] = corner.standard_error;
        json["corners"].push_back(std::move(item));
    }
    return json;
}

Json refinement_json(const Refinement& refinement) {
    Json json;
    json["trials"] = refinement.trials;
    json["positions"] = refinement.positions;
    json["klBefore"] = refinement.kl_before;
    json["klAfter"] = refinement.kl_after;
    json["standardError"] = refinement.standard_error;
    json["kept"] = refinement.kept;
    json["changes"] = Json::array();
    for (const RefinedChange& change : refinement.changes) {
        Json item;
        item["change"] = change.change;
        item["difference"] = change.difference;
        item["standardError"] = change.standard_error;
        json["changes"].push_back(std::move(item));
    }
    return json;
}

Calibration read_calibration(const Parsed& json) {
    ObjectReader reader(json, "calibration");
    Calibration calibration{.positions = reader.integer("positions", 1, kMostPositions),
                            .floor = reader.amount("floor"),
                            .ceiling = reader.amount("ceiling"),
                            .rate = reader.amount("rate"),
                            .relative_error = reader.amount("relativeError")};
    const Parsed& corners = array_of(reader, "corners");
    for (std::size_t i = 0; i < corners.size(); ++i)
        calibration.corners.push_back(read_corner(corners[i], fmt::format("calibration: corners[{}]", i)));
    if (corners.empty()) reader.fail("corners", "is empty");
    reader.finish();
    return calibration;
}

Refinement read_refinement(const Parsed& json) {
    ObjectReader reader(json, "refinement");
    Refinement refinement{.trials = reader.integer("trials", 0, kMostPositions),
                          .positions = reader.integer("positions", 1, kMostPositions),
                          .kl_before = reader.amount("klBefore"),
                          .kl_after = reader.amount("klAfter"),
                          .standard_error = reader.amount("standardError"),
                          .kept = reader.boolean("kept")};
    const Parsed& changes = array_of(reader, "changes");
    for (std::size_t i = 0; i < changes.size(); ++i)
        refinement.changes.push_back(read_change(changes[i], fmt::format("refinement: changes[{}]", i)));
    reader.finish();
    return refinement;
}

}  // namespace plasticity
