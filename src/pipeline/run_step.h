#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "core/progress.h"
#include "ipc/method.h"
#include "pipeline/pipeline_state.h"

namespace plasticity {

/// A step, or one item of it, with all templates resolved.
struct StepCall {
    std::string key;                 ///< in the state: "compress", "score[2]"
    const Method* method = nullptr;  ///< nullptr: shell
    std::string shell;
    nlohmann::json parameters;  ///< checked; of a shell step its variables, as text
};

struct StepOutcome {
    nlohmann::ordered_json data;
    int exit_code = 0;     ///< not 0: a verification, or a shell command, failed
    bool is_kept = false;  ///< an earlier run had done it
};

/// A shell step's params as variables of its environment. @throws Error (kUsage) for lists and objects
nlohmann::json shell_variables(const nlohmann::json& values);

class StepRunner {
public:
    struct Options {
        std::filesystem::path folder;
        bool repeat = false;  ///< what is finished, too
    };
    StepRunner(Options options, Progress& progress) : options_(std::move(options)), progress_(progress) {}

    /// @throws Error as the step's command; Interrupted
    StepOutcome run(const StepCall& call, PipelineState& state) const;

private:
    StepOutcome run_command(const StepCall& call, PipelineState& state) const;
    StepOutcome run_shell(const StepCall& call) const;

    Options options_;
    Progress& progress_;
};

}  // namespace plasticity
