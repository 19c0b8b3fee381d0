#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "core/progress.h"
#include "ipc/method_run.h"

namespace plasticity {

/// Calls a method of a server and waits for its answer, showing what is done meanwhile. The job goes on when this
/// process ends.
/// @param params  checked where the method is one of methods()
/// @throws Error of the kind that the answer names; Interrupted
MethodResult call_server(const std::filesystem::path& socket, const std::string& method, const nlohmann::json& params,
                         Progress& progress);

/// Runs a method in this process, without a server. @throws as run_method
MethodResult call_here(const Method& method, const nlohmann::json& params, Progress& progress);

}  // namespace plasticity
