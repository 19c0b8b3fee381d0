#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "artifact/trial_record.h"

namespace plasticity {

/// What one trial of a refinement came to.
struct TrialOutcome {
    std::string change;
    bool accepted = false;
    double difference = 0;      ///< of KL from the plan before, nats per token
    double standard_error = 0;  ///< of the difference
    bool operator==(const TrialOutcome&) const = default;
};

/// The outcomes so far, in a file: what a refinement that was killed or interrupted continues from, to the same recipe.
/// JSON with the key of the run; it appears whole or not at all, and counts for nothing under another key.
class TrialLog {
public:
    /// @param path    nothing: nothing is kept
    /// @param key     names everything that outcomes depend on
    TrialLog(std::optional<std::filesystem::path> path, const std::string& key);

    /// Takes over what the file holds. @returns whether there was something to continue from
    bool load();
    /// @throws Error (kIo)
    void add(const TrialOutcome& outcome);
    void set_calibration(const Calibration& calibration);

    const std::optional<Calibration>& calibration() const { return calibration_; }
    const std::vector<TrialOutcome>& outcomes() const { return outcomes_; }
    /// From this outcome on all is tried anew: the run took another course.
    void cut(std::size_t from) { outcomes_.resize(from); }

private:
    void save() const;

    std::optional<std::filesystem::path> path_;
    std::string key_;  ///< SHA-256
    std::optional<Calibration> calibration_;
    std::vector<TrialOutcome> outcomes_;
};

}  // namespace plasticity
