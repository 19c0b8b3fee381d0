#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace plasticity {

struct ChildCommand {
    std::filesystem::path program;                                 ///< run as it is, without a shell
    std::vector<std::string> arguments;                            ///< without the program's own name
    std::filesystem::path folder;                                  ///< to run in; empty: this process's
    std::vector<std::pair<std::string, std::string>> environment;  ///< beside this process's own
};

struct ChildEnd {
    int exit_code = 0;  ///< 128 + signal where one ended it
    int signal = 0;
    std::string out;  ///< all that it wrote to stdout
};

/// Runs a program to its end, its stdin empty. When `stopped` says so it is sent SIGTERM, with all that it started, and
/// SIGKILL where it does not end within half a minute; the program is also sent SIGTERM when this process dies (Linux).
/// @param on_error_line  told each line of stderr as it comes, without its end; long ones are cut
/// @throws Error (kIo when it cannot be started, kMalformed when it writes more to stdout than any command does)
ChildEnd run_child(const ChildCommand& command, const std::function<void(std::string_view)>& on_error_line,
                   const std::function<bool()>& stopped);

}  // namespace plasticity
