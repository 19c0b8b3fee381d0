#pragma once

#include <filesystem>
#include <functional>

#include "core/progress.h"
#include "ipc/limits.h"

namespace plasticity {

struct IpcOptions {
    std::filesystem::path socket;  ///< empty: stdin and stdout
    std::filesystem::path jobs;    ///< folder that keeps them; empty: beside the socket, PATH.jobs; of stdin: none
    bool allow_shell = false;      ///< pipelines may have steps of type Shell
    IpcLimits limits = {};
};

/// Answers JSON-RPC requests, a line each, until it is interrupted or told to shut down; by stdin and stdout until all
/// that came in is answered. One thread talks to all clients and waits for none, another runs the jobs.
/// @param on_ready  called once clients can connect
/// @throws Error (kUsage, kIo), Interrupted
void serve_ipc(const IpcOptions& options, const std::function<void()>& on_ready, Progress& progress);

}  // namespace plasticity
