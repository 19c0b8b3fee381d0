#include "plan/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "artifact/type_names.h"
#include "model/column_padding.h"
#include "plan/saturating_fit.h"

namespace plasticity {
namespace {

constexpr std::array kCornerTypes{GGML_TYPE_Q8_0, GGML_TYPE_Q6_K, GGML_TYPE_Q5_K, GGML_TYPE_Q4_K,
                                  GGML_TYPE_Q3_K, GGML_TYPE_Q2_K, GGML_TYPE_IQ2_S};

/// Of the types that were measured for a matrix, the one with about as many bits; of equals the one with more.
ggml_type nearest(const ModelTensor& matrix, const DamageTable& damages, ggml_type wanted) {
    const std::vector<ggml_type> types = damages.types_of(matrix.name);
    return *std::ranges::min_element(types, {}, [&](ggml_type type) {
        const double off = bits_per_weight(type) - bits_per_weight(wanted);
        return std::pair(type != wanted, off < 0 ? -off + 1e-6 : off);
    });
}

/// As the trial model is now.
void measure(Calibration& calibration, TrialModel& trial, const std::string& plan, double predicted) {
    const auto n_chunks = static_cast<std::int32_t>(calibration.positions / trial.chunk_positions());
    const Divergence measured = mean_divergence(trial.divergence(0, n_chunks));
    calibration.corners.push_back({.plan = plan,
                                   .predicted_damage = predicted,
                                   .measured_kl = std::max(measured.mean, 0.0),
                                   .standard_error = measured.standard_error});
}

/// The curve through corners that have a logarithm.
void fit_curve(Calibration& calibration) {
    std::vector<MeasuredCorner> corners;
    for (const CalibrationCorner& corner : calibration.corners)
        if (corner.predicted_damage > 0 && corner.measured_kl > 0)
            corners.push_back({corner.predicted_damage, corner.measured_kl});
    if (corners.empty()) return;
    const SaturatingFit fit = fit_saturation(corners);
    calibration.floor = fit.floor;
    calibration.ceiling = fit.ceiling;
    calibration.rate = fit.rate;
    calibration.relative_error = fit.relative_error;
}

}  // namespace

std::vector<Corner> uniform_corners(const Model& model, const DamageTable& damages) {
    std::vector<Corner> corners;
    for (const ggml_type wanted : kCornerTypes) {
        Corner corner{.plan = fmt::format("every matrix {}", ggml_type_name(wanted))};
        bool has_wanted = false;
        for (const ModelTensor& matrix : model.tensors()) {
            if (!is_matrix(matrix.id)) continue;
            const ggml_type type = nearest(matrix, damages, wanted);
            has_wanted = has_wanted || type == wanted;
            corner.predicted_damage += damages.of(matrix.name, type);
            corner.matrices.emplace_back(&matrix, MatrixForm{.type = type, .width = whole_blocks(type, matrix.cols)});
        }
        if (has_wanted) corners.push_back(std::move(corner));
    }
    return corners;
}

Calibration calibrate(TrialModel& trial, std::int32_t n_chunks, const std::vector<Corner>& corners, const Recipe& plan,
                      Progress& progress) {
    Calibration calibration{.positions = trial.chunk_positions() * n_chunks};
    progress.begin("calibrate", corners.size() + 1, "plans");
    for (const Corner& corner : corners) {
        trial.restore();
        for (const auto& [matrix, form] : corner.matrices) trial.set(*matrix, form);
        measure(calibration, trial, corner.plan, corner.predicted_damage);
        progress.advance(1, fmt::format("{}: KL {:.4g}", corner.plan, calibration.corners.back().measured_kl));
    }
    trial.set(plan);
    measure(calibration, trial, "the plan", plan.predicted_kl.value_or(0));
    progress.advance(1, fmt::format("the plan: KL {:.4g}", calibration.corners.back().measured_kl));
    progress.end();
    fit_curve(calibration);
    return calibration;
}

void add_corner(Calibration& calibration, TrialModel& trial, const std::string& name, const Recipe& plan) {
    trial.set(plan);
    measure(calibration, trial, name, plan.predicted_damage.value_or(plan.predicted_kl.value_or(0)));
    fit_curve(calibration);
}

CalibratedKl calibrated_kl(const Calibration& calibration, double predicted_damage) {
    const CalibrationCorner& plan = calibration.corners.back();
    const SaturatingFit curve{.floor = calibration.floor, .ceiling = calibration.ceiling, .rate = calibration.rate};
    const double at_plan = curve(plan.predicted_damage);
    const double value = at_plan > 0 ? plan.measured_kl * curve(predicted_damage) / at_plan : curve(predicted_damage);
    const double of_text = plan.measured_kl > 0 ? plan.standard_error / plan.measured_kl : 0;
    return {value, value * std::hypot(calibration.relative_error, of_text)};
}

}  // namespace plasticity
