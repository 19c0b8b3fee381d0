#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/run_state.h"
#include "core/progress.h"

namespace plasticity {

/// Stages one after the other, of which a second run repeats only what has changed. A stage's fingerprint is made of
/// its inputs, of this program's version and of the fingerprint before it. A copy goes its own way from there.
class StageChain {
public:
    /// @param state, progress  outlive the chain. @param repeat  run everything again
    StageChain(RunState& state, Progress& progress, bool repeat)
        : state_(&state), progress_(&progress), repeat_(repeat) {}

    /// Runs `work` unless the stage was finished from the same inputs and its outputs are there.
    template <typename Work>
    void run(const std::string& name, const std::vector<std::string>& inputs,
             const std::vector<std::filesystem::path>& outputs, const Work& work) {
        if (is_done(name, inputs, outputs)) return;
        work();
        state_->finish(name, fingerprint_);
    }

private:
    bool is_done(const std::string& name, const std::vector<std::string>& inputs,
                 const std::vector<std::filesystem::path>& outputs);

    RunState* state_;
    Progress* progress_;
    bool repeat_;  ///< asked for, or a stage ran: everything after it runs too
    std::string fingerprint_;
};

}  // namespace plasticity
