#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "ipc/method_list.h"
#include "ipc/parameters.h"

namespace plasticity {

std::span<const Method> methods() {
    static const std::array all{score_method(),    merge_method(),  analyze_method(),  compact_method(),
                                compress_method(), verify_method(), topology_method(), pipeline_method()};
    return all;
}

const Method* find_method(std::string_view name) {
    const auto found = std::ranges::find(methods(), name, &Method::name);
    return found == methods().end() ? nullptr : &*found;
}

std::string method_names() {
    std::vector<std::string_view> names;
    for (const Method& method : methods()) names.push_back(method.name);
    return fmt::format("{}", fmt::join(names, ", "));
}

nlohmann::ordered_json describe(const Method& method) {
    nlohmann::ordered_json description{{"name", method.name}, {"summary", method.summary}};
    auto& list = description["parameters"] = nlohmann::ordered_json::array();
    for (const Parameter& parameter : method.parameters)
        list.push_back({{"name", parameter.name},
                        {"kind", kind_text(parameter.kind)},
                        {"required", parameter.is_required},
                        {"help", parameter.help}});
    return description;
}

std::vector<std::filesystem::path> outputs_of(const nlohmann::json& parameters,
                                              std::initializer_list<std::string_view> names) {
    std::vector<std::filesystem::path> outputs;
    for (const std::string_view name : names)
        if (const auto found = parameters.find(name); found != parameters.end())
            outputs.emplace_back(found->get<std::string>());
    return outputs;
}

nlohmann::json picked(const nlohmann::json& parameters,
                      std::initializer_list<std::pair<const char*, std::string_view>> names) {
    nlohmann::json fields = nlohmann::json::object();
    for (const auto& [field, name] : names)
        if (const auto found = parameters.find(name); found != parameters.end()) fields[field] = *found;
    return fields;
}

}  // namespace plasticity
