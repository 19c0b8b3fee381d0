#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ipc/method_run.h"
#include "ipc/process_lock.h"

namespace plasticity {

/// What is kept of one step of a pipeline, or of one item of a step with forEach.
struct StepRecord {
    std::string fingerprint;           ///< of all that its result depends on
    std::vector<std::string> outputs;  ///< files that it has begun to make: its own, to be replaced
    bool is_finished = false;
    MethodState progress;         ///< of a step that is not finished
    nlohmann::ordered_json data;  ///< of a finished one
};

/// Which steps of a pipeline are finished, in a file that is replaced whole after each of their commands. One process
/// at a time has it.
class PipelineState {
public:
    static constexpr int kSchemaVersion = 1;

    /// Waits for what an earlier run that was killed has left running.
    /// @throws Error (kMalformed where the file is none of these, kUsage where another run has it, kIo), Interrupted
    explicit PipelineState(std::filesystem::path file);

    /// The step as it is known; a new one where it is not.
    StepRecord& at(const std::string& key) { return records_[key]; }
    /// @throws Error (kIo)
    void save() const;

private:
    void load();

    std::filesystem::path file_;
    ProcessLock lock_;
    std::map<std::string, StepRecord> records_;
};

}  // namespace plasticity
