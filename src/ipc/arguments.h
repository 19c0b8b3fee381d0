#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace plasticity {

/// Makes a command line out of checked parameters. A parameter that is not there adds nothing; values cannot be taken
/// for options, since paths begin with a slash, hub names with a letter, and everything else stands behind "=".
class Arguments {
public:
    Arguments(std::string_view command, const nlohmann::json& parameters);

    Arguments& positional(std::string_view name);
    /// --option=VALUE; of a list all values, of a switch that is on the option alone.
    Arguments& option(std::string_view option, std::string_view name);
    Arguments& options(std::initializer_list<std::pair<std::string_view, std::string_view>> list);
    /// As it stands.
    Arguments& add(std::string argument);

    std::vector<std::string> take() { return std::move(list_); }

private:
    const nlohmann::json& parameters_;
    std::vector<std::string> list_;
};

}  // namespace plasticity
