#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace plasticity {

/// A plan that was tried in memory on calibration text.
struct CalibrationCorner {
    std::string plan;             ///< in words: "every matrix q4_K"
    double predicted_damage = 0;  ///< sum over matrices and heads, nats per token
    double measured_kl = 0;       ///< KL(base ‖ plan), nats per token
    double standard_error = 0;    ///< of measured_kl, from the spread of positions
    bool operator==(const CalibrationCorner&) const = default;
};

/// What measured divergence is of predicted damage: D = floor + ceiling · (1 − exp(−rate · damage)).
struct Calibration {
    std::int64_t positions = 0;              ///< of calibration text that every corner was measured on
    double floor = 0;                        ///< nats per token: rounded activations
    double ceiling = 0;                      ///< nats per token
    double rate = 0;                         ///< per nat
    double relative_error = 0;               ///< one standard error of the curve, as a share of its value
    std::vector<CalibrationCorner> corners;  ///< the last: the plan itself
    bool operator==(const Calibration&) const = default;
};

/// A change that trials found to pay.
struct RefinedChange {
    std::string change;         ///< in words: "attn_v counts × 1.5"
    double difference = 0;      ///< of KL, nats per token: below 0
    double standard_error = 0;  ///< of the difference, over the same positions
    bool operator==(const RefinedChange&) const = default;
};

/// What trials made of a plan.
struct Refinement {
    std::int64_t trials = 0;
    std::int64_t positions = 0;  ///< of the text that changes were judged on; as many again confirmed them
    double kl_before = 0;        ///< on the text that confirms, nats per token
    double kl_after = 0;
    double standard_error = 0;  ///< of their difference
    bool kept = false;          ///< the changes were confirmed; otherwise the plan is as it was
    std::vector<RefinedChange> changes;
    bool operator==(const Refinement&) const = default;
};

nlohmann::ordered_json calibration_json(const Calibration& calibration);
nlohmann::ordered_json refinement_json(const Refinement& refinement);
/// @throws Error (kMalformed) naming the place
Calibration read_calibration(const nlohmann::json& json);
Refinement read_refinement(const nlohmann::json& json);

}  // namespace plasticity
