#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace plasticity {

/// What a parameter's value may be.
enum class ParameterKind {
    kModel,    ///< path of a file or folder, or a hub name
    kInput,    ///< path that is read
    kInputs,   ///< one such path or a list of them
    kOutput,   ///< path of a file that is written
    kText,     ///< one line or more, without NUL
    kSize,     ///< bytes as a number, or text as "12.9GB"
    kDevice,   ///< a device's name, or {memoryGb, reservedGb, label}
    kInteger,  ///< from 0
    kNumber,   ///< finite, from 0
    kSwitch,   ///< true or false
    kObject,   ///< names with texts, numbers and switches
};

struct Parameter {
    std::string_view name;
    ParameterKind kind;
    std::string_view help;
    bool is_required = false;
};

/// One of this program's commands, as part of a method.
struct MethodStep {
    std::vector<std::string> arguments;  ///< command, positional ones, options; it also gets --json and --log-json
    std::vector<std::filesystem::path> outputs;
    bool may_replace = false;  ///< the request has `force`; else no output may be there when the step first begins
    bool can_resume = false;   ///< the command takes --resume
};

/// What a client asks for by name: some of this program's commands, one after the other, and a result made of the JSON
/// documents that they print.
struct Method {
    std::string_view name;  ///< "plasticity/score"
    std::string_view summary;
    std::span<const Parameter> parameters;
    /// @param parameters  checked by check_parameters. @throws Error (kUsage)
    std::vector<MethodStep> (*steps)(const nlohmann::json& parameters);
    /// @param documents  one for each step
    nlohmann::ordered_json (*result)(const nlohmann::json& parameters,
                                     const std::vector<nlohmann::ordered_json>& documents);
    /// The fields of the result that are known before anything ran: for dry runs of pipelines.
    nlohmann::json (*promise)(const nlohmann::json& parameters);
};

/// All of them, in the order of the pipeline's stages.
std::span<const Method> methods();
/// @returns nullptr for a name that is none
const Method* find_method(std::string_view name);
/// "plasticity/score, plasticity/merge, …": for messages.
std::string method_names();

/// Name, kind, whether it must be there, and help of every parameter: for clients.
nlohmann::ordered_json describe(const Method& method);

}  // namespace plasticity
