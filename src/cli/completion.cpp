#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>

#include "cli/command_tree.h"
#include "cli/reference.h"

namespace plasticity {
namespace {

/// Within single quotes of bash, zsh or fish, on one line.
std::string in_quotes(std::string_view text) {
    std::string result = "'";
    for (const char c : text) {
        if (c == '\'')
            result += "'\\''";
        else
            result += c == '\n' ? ' ' : c;
    }
    return result + "'";
}

std::string spaced(const std::vector<std::string>& words) {
    return fmt::format("{}", fmt::join(words, " "));
}

/// A pattern of a case statement: 'plasticity run'|'plasticity bench'|'plasticity bench speed'
std::string command_pattern(const std::vector<CommandEntry>& commands) {
    std::vector<std::string> typed;
    for (const CommandEntry& command : commands)
        if (!command.words.empty()) typed.push_back(in_quotes(command.joined(" ")));
    return fmt::format("{}", fmt::join(typed, "|"));
}

/// The commands within one, then its options and what its argument may be.
std::string words_after(const CommandEntry& command) {
    std::vector<std::string> words;
    for (const CLI::App* one : subcommands_of(*command.app)) words.push_back(one->get_name());
    for (const OptionEntry& option : options_of(*command.app)) {
        const std::vector<std::string>& more = option.names.empty() ? option.choice : option.names;
        words.insert(words.end(), more.begin(), more.end());
    }
    return spaced(words);
}

/// Cases of "COMMAND OPTION" for options that take a value: the words of a fixed choice, or none, which leaves files.
std::string bash_values(const CommandEntry& command) {
    std::string cases;
    for (const OptionEntry& option : options_of(*command.app)) {
        if (option.placeholder.empty() || option.names.empty()) continue;
        std::vector<std::string> typed;
        for (const std::string& name : option.names) typed.push_back(in_quotes(command.joined(" ") + " " + name));
        cases += fmt::format("        {}) words={};;\n", fmt::join(typed, "|"), in_quotes(spaced(option.choice)));
    }
    return cases;
}

/// zsh reads brackets and colons of a description as its own.
std::string zsh_text(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c == '[' || c == ']' || c == ':' || c == '\\') result += '\\';
        result += c;
    }
    return result;
}

std::string zsh_value(const OptionEntry& option) {
    if (option.placeholder.empty()) return "";
    return fmt::format(":{}:{}", zsh_text(option.placeholder),
                       option.choice.empty() ? "_files" : fmt::format("({})", spaced(option.choice)));
}

std::string zsh_case(const CommandEntry& command) {
    std::string text = fmt::format("    {})\n", in_quotes(command.joined(" ")));
    const auto within = subcommands_of(*command.app);
    if (!within.empty()) {
        text += "        commands=(\n";
        for (const CLI::App* one : within)
            text +=
                fmt::format("            {}\n", in_quotes(one->get_name() + ":" + zsh_text(one->get_description())));
        text += "        )\n        _describe command commands\n";
    }
    text += "        _arguments";
    for (const OptionEntry& option : options_of(*command.app)) {
        const std::string described = fmt::format("[{}]{}", zsh_text(option.description), zsh_value(option));
        for (const std::string& name : option.names)
            text += fmt::format(" \\\n            {}", in_quotes(fmt::format("*{}{}", name, described)));
        if (option.names.empty() && within.empty())
            text += fmt::format(" \\\n            {}", in_quotes("*" + zsh_value(option)));
    }
    return text + "\n        ;;\n";
}

std::string fish_option(const OptionEntry& option) {
    std::string text;
    for (const std::string& name : option.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    if (!option.placeholder.empty()) text += " -r";
    if (!option.choice.empty()) text += " -f -a " + in_quotes(spaced(option.choice));
    return text + " -d " + in_quotes(option.description);
}

}  // namespace

std::string bash_completion(const CLI::App& program) {
    const std::vector<CommandEntry> commands = commands_of(program);
    std::string words, values;
    for (const CommandEntry& command : commands) {
        words +=
            fmt::format("        {}) words={};;\n", in_quotes(command.joined(" ")), in_quotes(words_after(command)));
        values += bash_values(command);
    }
    return fmt::format(R"(# bash completion of plasticity, made by `plasticity reference bash`
_plasticity() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} typed=plasticity words='' word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$typed $word" in
            {}) typed+=" $word";;
        esac
    done
    case $typed in
{}    esac
    case "$typed $previous" in
{}    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -o default -F _plasticity plasticity
)",
                       command_pattern(commands), words, values);
}

std::string zsh_completion(const CLI::App& program) {
    const std::vector<CommandEntry> commands = commands_of(program);
    std::string cases;
    for (const CommandEntry& command : commands) cases += zsh_case(command);
    return fmt::format(R"(#compdef plasticity
# zsh completion of plasticity, made by `plasticity reference zsh`
local typed=plasticity word
local -a commands
for word in ${{words[2,CURRENT-1]}}; do
    case "$typed $word" in
        {}) typed+=" $word";;
    esac
done
case $typed in
{}esac
)",
                       command_pattern(commands), cases);
}

std::string fish_completion(const CLI::App& program) {
    std::string text = "# fish completion of plasticity, made by `plasticity reference fish`\n";
    for (const CommandEntry& command : commands_of(program)) {
        const std::string condition = command.words.empty()
                                          ? "__fish_use_subcommand"
                                          : fmt::format("__fish_seen_subcommand_from {}",
                                                        fmt::join(command.words, "; and __fish_seen_subcommand_from "));
        const std::string start = fmt::format("complete -c plasticity -n {}", in_quotes(condition));
        for (const CLI::App* one : subcommands_of(*command.app))
            text += fmt::format("{} -f -a {} -d {}\n", start, one->get_name(), in_quotes(one->get_description()));
        for (const OptionEntry& option : options_of(*command.app))
            if (!option.names.empty()) text += start + fish_option(option) + "\n";
    }
    return text;
}

}  // namespace plasticity
