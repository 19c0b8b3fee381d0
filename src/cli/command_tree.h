#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace plasticity {

/// A command as its users type it.
struct CommandEntry {
    const CLI::App* app = nullptr;
    std::vector<std::string> words;  ///< "bench", "speed"; empty: the program

    /// @param separator  "-" for the name of a page, " " for what is typed
    std::string joined(const std::string& separator) const;
};

/// The program, then its commands, each followed by those within it, in the order of --help.
std::vector<CommandEntry> commands_of(const CLI::App& program);
/// The commands within one.
std::vector<const CLI::App*> subcommands_of(const CLI::App& app);

/// An option as a reference shows it.
struct OptionEntry {
    std::vector<std::string> names;   ///< "-o", "--output"; empty: positional
    std::string placeholder;          ///< "OUTPUT"; empty: a flag
    std::vector<std::string> choice;  ///< all values that there are; empty: any
    std::string description, group, standard;
    bool required = false;
    bool repeats = false;
};

/// In the order of --help, positional ones too.
std::vector<OptionEntry> options_of(const CLI::App& app);

}  // namespace plasticity
