#pragma once

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.h"

namespace plasticity {

/// The command line with all commands. @param result  outlives it
std::unique_ptr<CLI::App> make_program(CommandResult& result);

}  // namespace plasticity
