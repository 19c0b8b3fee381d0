#pragma once

#include <functional>
#include <string>
#include <vector>

#include "artifact/trial_record.h"
#include "core/progress.h"
#include "model/model.h"
#include "plan/damage.h"
#include "plan/trial_model.h"

namespace plasticity {

/// A plan to be tried: what every matrix becomes.
struct Corner {
    std::string plan;             ///< in words
    double predicted_damage = 0;  ///< nats per token
    std::vector<std::pair<const ModelTensor*, MatrixForm>> matrices;
};

/// Every matrix at one type, for types from eight bits to the fewest that were measured; nothing pruned. Where a matrix
/// was not measured as that type it gets the one of the nearest bits. Rows are filled up to whole blocks.
std::vector<Corner> uniform_corners(const Model& model, const DamageTable& damages);

/// Tries the corners and then the plan on the first chunks of the trial's text, and fits the curve through all.
/// @throws Error (kMalformed, kIo), Interrupted
Calibration calibrate(TrialModel& trial, std::int32_t n_chunks, const std::vector<Corner>& corners, const Recipe& plan,
                      Progress& progress);

/// One more, on the same text.
void add_corner(Calibration& calibration, TrialModel& trial, const std::string& name, const Recipe& plan);

struct CalibratedKl {
    double value = 0;           ///< nats per token
    double standard_error = 0;  ///< of the curve and of the text's choice together
};

/// What a plan with these damages is expected to do: the measured divergence of the last corner, and from there along
/// the curve.
CalibratedKl calibrated_kl(const Calibration& calibration, double predicted_damage);

}  // namespace plasticity
