#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "ipc/method.h"

namespace plasticity {

/// How far a method is: what must be kept for it to be continued by another process.
struct MethodState {
    std::vector<nlohmann::ordered_json> documents;  ///< of the steps that are finished
    bool has_begun = false;                         ///< what lies at its outputs from then on is its own

    nlohmann::ordered_json to_json() const;
    /// @throws Error (kMalformed)
    static MethodState from_json(const nlohmann::json& object, const std::string& where);
};

struct MethodHooks {
    /// Told what the commands say of their progress (--log-json), each object with the command as "command".
    std::function<void(const nlohmann::ordered_json&)> on_progress;
    /// Told before a step begins and after it has ended; what is kept must be on disk when this returns.
    std::function<void(const MethodState&)> on_state;
    /// Asked several times a second; true ends the command that runs.
    std::function<bool()> stopped;
};

struct MethodResult {
    nlohmann::ordered_json data;
    int exit_code = 0;  ///< 7 where a verification failed, which is a result
};

/// Runs a method's commands one after the other, each as a process of its own.
/// @param parameters  checked (ipc/parameters.h)
/// @param state       of an earlier process that did not come to the end, else {}
/// @param program     to run; own_program()
/// @throws Error of the kind that the command's exit code stands for, with its message; Interrupted when it was stopped
MethodResult run_method(const Method& method, const nlohmann::json& parameters, MethodState state,
                        const MethodHooks& hooks, const std::filesystem::path& program);

}  // namespace plasticity
