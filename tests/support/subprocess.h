#pragma once

// Runs the program under test as its users do, and says what came out.

#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/file_content.h"

namespace plasticity::test {

/// @throws std::runtime_error saying how to set it, since without it a test would test nothing
inline std::string require_environment(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0')
        throw std::runtime_error(std::string(name) + " is not set; run the tests by ctest, which sets it");
    return value;
}

struct Finished {
    int exit_code = -1;  ///< -1: ended by a signal
    std::string out, err;
};

/// Runs PLASTICITY_TEST_PROGRAM with these arguments. @param scratch  for its output streams; two files are left there
/// @param input  what it reads from stdin
inline Finished run_program(const std::vector<std::string>& arguments, const std::filesystem::path& scratch,
                            const std::filesystem::path& input = "/dev/null") {
    const auto quoted = [](const std::string& text) {
        std::string all(1, '\'');
        for (const char letter : text)
            if (letter == '\'')
                all.append("'\\''");
            else
                all.push_back(letter);
        all.push_back('\'');
        return all;
    };
    const auto out = scratch / "stdout", err = scratch / "stderr";
    std::string command = quoted(require_environment("PLASTICITY_TEST_PROGRAM"));
    for (const std::string& argument : arguments) command.append(" ").append(quoted(argument));
    command += " <" + quoted(input.string()) + " >" + quoted(out.string()) + " 2>" + quoted(err.string());
    const int status = std::system(command.c_str());
    return {.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1, .out = read_bytes(out), .err = read_bytes(err)};
}

}  // namespace plasticity::test
