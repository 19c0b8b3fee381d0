#pragma once

#include <optional>
#include <span>
#include <string>

#include "engine/decoder.h"
#include "model/model.h"
#include "verify/findings.h"
#include "verify/task_file.h"

namespace plasticity {

/// What can be told before anything is computed: Python wants a sandbox, and an interpreter.
/// @throws Error (kUsage) saying which of the two is not there
void require_checkers(std::span<const Task> tasks);

/// Has the model continue every prompt, greedily, and judges what it says. Adds to the report's results (`tasks`, which
/// names the file already), and "tasks".
/// @param min_accuracy  [0, 1]; nothing: the check passes whatever comes out
/// @throws Error (kUsage for a prompt that does not fit the context; kIo), Interrupted
void check_tasks(const Model& model, Decoder& decoder, std::span<const Task> tasks, std::optional<double> min_accuracy,
                 Findings findings);

/// @returns why the output does not pass; nothing where it does
/// @throws Error (kUsage, kIo) where a program cannot be run, Interrupted
std::optional<std::string> judge_output(const Task& task, const std::string& output);

}  // namespace plasticity
