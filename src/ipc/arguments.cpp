#include "ipc/arguments.h"

#include <fmt/format.h>

namespace plasticity {
namespace {

std::string argument_text(const nlohmann::json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

Arguments::Arguments(std::string_view command, const nlohmann::json& parameters) : parameters_(parameters) {
    list_.emplace_back(command);
}

Arguments& Arguments::positional(std::string_view name) {
    const auto found = parameters_.find(name);
    if (found == parameters_.end()) return *this;
    if (!found->is_array()) return add(argument_text(*found));
    for (const nlohmann::json& value : *found) add(argument_text(value));
    return *this;
}

Arguments& Arguments::option(std::string_view option, std::string_view name) {
    const auto found = parameters_.find(name);
    if (found == parameters_.end() || *found == false) return *this;
    if (*found == true) return add(std::string(option));
    if (!found->is_array()) return add(fmt::format("{}={}", option, argument_text(*found)));
    for (const nlohmann::json& value : *found) add(fmt::format("{}={}", option, argument_text(value)));
    return *this;
}

Arguments& Arguments::options(std::initializer_list<std::pair<std::string_view, std::string_view>> list) {
    for (const auto& [name_of_option, name] : list) option(name_of_option, name);
    return *this;
}

Arguments& Arguments::add(std::string argument) {
    list_.push_back(std::move(argument));
    return *this;
}

}  // namespace plasticity
