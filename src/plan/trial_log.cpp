#include "plan/trial_log.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "artifact/json_text.h"
#include "core/error.h"
#include "core/hash.h"
#include "io/atomic_file.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{16} << 20;

TrialOutcome read_outcome(const nlohmann::json& json) {
    ObjectReader reader(json, "outcome");
    TrialOutcome outcome{.change = reader.text("change"),
                         .accepted = reader.boolean("accepted"),
                         .difference = reader.number("difference"),
                         .standard_error = reader.number("standardError")};
    reader.finish();
    return outcome;
}

}  // namespace

TrialLog::TrialLog(std::optional<std::filesystem::path> path, const std::string& key)
    : path_(std::move(path)), key_(sha256_hex(key)) {}

bool TrialLog::load() {
    if (!path_ || !std::filesystem::exists(*path_)) return false;
    try {
        const nlohmann::json json = parse_strict_json(read_text_file(*path_, kMostBytes), path_->string());
        ObjectReader reader(json, path_->string());
        if (reader.text("key") != key_) return false;
        std::optional<Calibration> calibration;
        if (reader.has("calibration")) calibration = read_calibration(reader.value("calibration"));
        std::vector<TrialOutcome> outcomes;
        for (const nlohmann::json& item : reader.value("outcomes")) outcomes.push_back(read_outcome(item));
        calibration_ = std::move(calibration);
        outcomes_ = std::move(outcomes);
        return true;
    } catch (const Error&) {
        return false;  // then everything is tried anew, which is always right
    }
}

void TrialLog::add(const TrialOutcome& outcome) {
    outcomes_.push_back(outcome);
    save();
}

void TrialLog::set_calibration(const Calibration& calibration) {
    calibration_ = calibration;
    save();
}

void TrialLog::save() const {
    if (!path_) return;
    nlohmann::ordered_json json;
    json["key"] = key_;
    if (calibration_) json["calibration"] = calibration_json(*calibration_);
    json["outcomes"] = nlohmann::ordered_json::array();
    for (const TrialOutcome& outcome : outcomes_)
        json["outcomes"].push_back({{"change", outcome.change},
                                    {"accepted", outcome.accepted},
                                    {"difference", outcome.difference},
                                    {"standardError", outcome.standard_error}});
    write_text_file(*path_, json_text(json), Overwrite::kReplace);
}

}  // namespace plasticity
