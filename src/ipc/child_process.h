#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "io/started_child.h"

namespace plasticity {

struct ChildEnd {
    int exit_code = 0;  ///< 128 + signal where one ended it; 127 where it could not be started
    int signal = 0;
    std::string out;  ///< all that it wrote to stdout
};

/// Runs a program to its end. When `stopped` says so it is sent SIGTERM, with all that it started, and SIGKILL where it
/// does not end within half a minute; the program is also sent SIGTERM when this process dies (Linux).
/// @param on_error_line  told each line of stderr as it comes, without its end, or why nothing could be started; long
///                       ones are cut
/// @throws Error (kMalformed when it writes more to stdout than any command does; kIo)
ChildEnd run_child(ChildCommand command, const std::function<void(std::string_view)>& on_error_line,
                   const std::function<bool()>& stopped);

}  // namespace plasticity
