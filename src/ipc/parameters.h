#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "ipc/method.h"

namespace plasticity {

struct ParameterRules {
    /// What relative paths are relative to; empty: they are refused, since nobody knows.
    std::filesystem::path folder;
    /// Numbers, switches, lists and objects may be there as text: they were typed.
    bool from_text = false;
    /// Values that still hold a template, {{…}}, are passed on as they are: a dry run knows no better.
    bool keeps_templates = false;
};

/// Checks a request's parameters against those of the method: names, types, ranges, which must be there. A leading "~/"
/// of paths becomes the home folder, relative paths become absolute and normal, "file.gguf" a list where one is wanted.
/// @returns an object of the method's parameters only; those that were null are left out
/// @throws Error (kUsage) naming every problem
nlohmann::json check_parameters(const Method& method, const nlohmann::json& given, const ParameterRules& rules);

/// One value of a parameter as above. @throws Error (kUsage) saying what was expected
nlohmann::json check_value(ParameterKind kind, const nlohmann::json& value, const ParameterRules& rules);

/// "path", "list of paths", …: what a value of this kind is, for messages and descriptions.
std::string_view kind_text(ParameterKind kind);

/// The path with a leading "~/" as the home folder. @throws Error (kUsage) where HOME is not set, or for "~user"
std::filesystem::path expand_home(std::string_view path);

/// True for kinds whose values name files that are read.
inline bool is_read(ParameterKind kind) {
    return kind == ParameterKind::kModel || kind == ParameterKind::kInput || kind == ParameterKind::kInputs;
}

}  // namespace plasticity
