#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "cli/command_tree.h"
#include "cli/reference.h"
#include "core/version.h"

namespace plasticity {
namespace {

constexpr std::string_view kExitStatus =
    ".SH EXIT STATUS\n"
    "0 ok, 1 internal error, 2 usage, 3 input missing, 4 input malformed, 5 budget infeasible,\n"
    "6 I/O or disk full, 7 verification failed, 130 or 143 interrupted.\n";

/// Text that roff takes as it is: no control lines, escapes, or hyphens that it would turn into other signs.
std::string roff(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if ((c == '.' || c == '\'') && (result.empty() || result.back() == '\n')) result += "\\&";
        if (c == '\\')
            result += "\\e";
        else if (c == '-')
            result += "\\-";
        else
            result += c;
    }
    return result;
}

std::string bold(std::string_view text) {
    return fmt::format("\\fB{}\\fR", roff(text));
}

std::string heading_of(const OptionEntry& option) {
    std::vector<std::string> names;
    for (const std::string& name : option.names) names.push_back(bold(name));
    const std::string value = option.placeholder.empty() ? "" : fmt::format("\\fI{}\\fR", roff(option.placeholder));
    return fmt::format("{}{}{}", fmt::join(names, ", "), names.empty() || value.empty() ? "" : " ", value);
}

std::string item_of(const OptionEntry& option) {
    std::string text = option.description;
    if (!option.choice.empty()) text += fmt::format("; one of {}", fmt::join(option.choice, ", "));
    if (option.repeats) text += "; several may be given";
    if (!option.standard.empty()) text += fmt::format(" (default: {})", option.standard);
    return fmt::format(".TP\n{}\n{}\n", heading_of(option), roff(text));
}

/// Options in their groups, in the order in which the groups occur.
std::string options_section(const std::vector<OptionEntry>& options) {
    std::vector<std::string> groups;
    for (const OptionEntry& option : options)
        if (std::ranges::find(groups, option.group) == groups.end()) groups.push_back(option.group);
    std::string text = groups.empty() ? "" : ".SH OPTIONS\n";
    for (const std::string& group : groups) {
        text += fmt::format(".SS {}\n", roff(group));
        for (const OptionEntry& option : options)
            if (option.group == group) text += item_of(option);
    }
    return text;
}

std::string synopsis(const CommandEntry& command, const std::vector<OptionEntry>& options) {
    std::string line = bold(command.joined(" "));
    if (!subcommands_of(*command.app).empty()) return line + " \\fICOMMAND\\fR ...\n";
    for (const OptionEntry& option : options) {
        if (option.required)
            line += " " + heading_of(option);
        else if (option.names.empty())
            line += fmt::format(" [{}]", heading_of(option));
    }
    return line + " [\\fIOPTION\\fR ...]\n";
}

std::string commands_section(const CommandEntry& command) {
    std::string text;
    for (const CLI::App* one : subcommands_of(*command.app))
        text += fmt::format(".TP\n{}\n{}\n", bold(one->get_name()), roff(one->get_description()));
    return text.empty() ? "" : ".SH COMMANDS\n" + text;
}

std::string see_also(const std::vector<CommandEntry>& all, const CommandEntry& page) {
    std::vector<std::string> others;
    for (const CommandEntry& other : all)
        if (other.app != page.app) others.push_back(bold(other.joined("-")) + "(1)");
    return fmt::format(".SH SEE ALSO\n{}\n", fmt::join(others, ",\n"));
}

}  // namespace

std::vector<ManPage> man_pages(const CLI::App& program, const std::string& date) {
    const std::vector<CommandEntry> all = commands_of(program);
    std::vector<ManPage> pages;
    for (const CommandEntry& command : all) {
        const std::vector<OptionEntry> options = options_of(*command.app);
        const std::string name = command.joined("-"), description = command.app->get_description();
        std::string text =
            fmt::format(".TH \"{}\" 1 \"{}\" \"plasticity {}\" \"User Commands\"\n", roff(name), date, kVersion);
        text += fmt::format(".SH NAME\n{} \\- {}\n", roff(name), roff(description.substr(0, description.find('\n'))));
        text += ".SH SYNOPSIS\n" + synopsis(command, options);
        text += fmt::format(".SH DESCRIPTION\n{}\n", roff(description));
        text += commands_section(command) + options_section(options);
        text += std::string(kExitStatus) + see_also(all, command);
        pages.push_back({name, std::move(text)});
    }
    return pages;
}

}  // namespace plasticity
