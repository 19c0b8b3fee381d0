#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace plasticity {

// What people look up, made from the commands' own options, so that it says what --help says.

struct ManPage {
    std::string name;  ///< "plasticity-score"
    std::string text;  ///< in roff, section 1
};

/// One page of the program and one of each command, in the order of --help. @param date  of the pages, YYYY-MM-DD
std::vector<ManPage> man_pages(const CLI::App& program, const std::string& date);

// Scripts that make a shell complete commands, options, the values of those that have a fixed choice, and files.

std::string bash_completion(const CLI::App& program);
std::string zsh_completion(const CLI::App& program);
std::string fish_completion(const CLI::App& program);

}  // namespace plasticity
