#include "cli/command_tree.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <sstream>

namespace plasticity {
namespace {

void append_commands(const CLI::App& app, const std::vector<std::string>& words, std::vector<CommandEntry>& all) {
    all.push_back({&app, words});
    for (const CLI::App* command : subcommands_of(app)) {
        std::vector<std::string> longer = words;
        longer.push_back(command->get_name());
        append_commands(*command, longer, all);
    }
}

/// CLI11 shows the values of CLI::IsMember as "TEXT:{optimal,tiers}".
std::vector<std::string> choice_of(const std::string& type) {
    const std::size_t open = type.find('{'), close = type.rfind('}');
    std::vector<std::string> values;
    if (open == std::string::npos || close == std::string::npos || close < open) return values;
    std::istringstream list(type.substr(open + 1, close - open - 1));
    for (std::string value; std::getline(list, value, ',');) values.push_back(value);
    return values;
}

std::string upper(std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

OptionEntry entry_of(const CLI::Option& option) {
    OptionEntry entry{.description = option.get_description(),
                      .group = option.get_group(),
                      .required = option.get_required(),
                      .repeats = option.get_items_expected_max() > 1};
    for (const std::string& name : option.get_snames()) entry.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) entry.names.push_back("--" + name);
    if (option.get_items_expected_max() == 0) return entry;  // a flag
    entry.placeholder = upper(option.get_lnames().empty() ? option.get_single_name() : option.get_lnames().front());
    entry.choice = choice_of(option.get_type_name());
    entry.standard = option.get_default_str();
    return entry;
}

}  // namespace

std::string CommandEntry::joined(const std::string& separator) const {
    std::vector<std::string> all{"plasticity"};
    all.insert(all.end(), words.begin(), words.end());
    return fmt::format("{}", fmt::join(all, separator));
}

std::vector<const CLI::App*> subcommands_of(const CLI::App& app) {
    return app.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
}

std::vector<CommandEntry> commands_of(const CLI::App& program) {
    std::vector<CommandEntry> all;
    append_commands(program, {}, all);
    return all;
}

std::vector<OptionEntry> options_of(const CLI::App& app) {
    std::vector<OptionEntry> all;
    for (const CLI::Option* option : app.get_options())
        if (!option->get_group().empty()) all.push_back(entry_of(*option));
    return all;
}

}  // namespace plasticity
