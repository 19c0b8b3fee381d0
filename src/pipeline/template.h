#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "io/yaml_reader.h"

namespace plasticity {

/// What templates refer to.
struct TemplateScope {
    const nlohmann::json& input;           ///< {name: value}
    const nlohmann::json& steps;           ///< {name: {"status", "data"}}
    const nlohmann::json* item = nullptr;  ///< of a step with forEach
    std::size_t index = 0;
    bool is_dry_run = false;  ///< what is not known before it ran stays as it is written
};

/// Replaces templates in a value of a pipeline: {{input.x}}, {{steps.NAME.data.field}}, {{steps.NAME.status}},
/// {{item}},
/// {{index}}. Fields of objects follow after dots, elements of lists by number, and * stands for all elements. A text
/// that is one template becomes what it refers to, of whatever type; inside a text plain values are inserted.
/// @param where  names the file in messages
/// @throws Error (kUsage) with line and column, where a template refers to nothing, or all of them to too much
nlohmann::json resolve_templates(const YamlNode& node, const TemplateScope& scope, const std::string& where);

/// The text holds a template that was left as it is.
bool has_template(const nlohmann::json& value);

/// Calls `visit` with what each template of a value refers to first: ("input", NAME), ("steps", NAME), ("item", "").
/// @throws Error (kMalformed) where braces are not closed or hold no reference
void visit_templates(const YamlNode& node, const std::string& where,
                     const std::function<void(const YamlNode&, std::string_view, std::string_view)>& visit);

}  // namespace plasticity
