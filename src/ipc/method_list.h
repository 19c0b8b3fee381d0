#pragma once

#include <array>
#include <cstddef>

#include "ipc/method.h"

// The methods, by the commands that they are made of.
namespace plasticity {

const Method& score_method();
const Method& merge_method();
const Method& analyze_method();
const Method& compact_method();
const Method& compress_method();
const Method& verify_method();
const Method& topology_method();
const Method& pipeline_method();

/// What every method takes whose commands compute.
inline constexpr std::array kComputeParameters{
    Parameter{"threads", ParameterKind::kInteger, "worker threads; 0 or none: all processors"},
    Parameter{"seed", ParameterKind::kInteger, "of everything random"},
};
inline constexpr Parameter kForceParameter{"force", ParameterKind::kSwitch, "replace outputs that exist"};

template <std::size_t N, std::size_t M>
constexpr std::array<Parameter, N + M> joined(const std::array<Parameter, N>& a, const std::array<Parameter, M>& b) {
    std::array<Parameter, N + M> all{};
    for (std::size_t i = 0; i < N; ++i) all[i] = a[i];
    for (std::size_t i = 0; i < M; ++i) all[N + i] = b[i];
    return all;
}

/// The outputs that are asked for, by the names of their parameters.
std::vector<std::filesystem::path> outputs_of(const nlohmann::json& parameters,
                                              std::initializer_list<std::string_view> names);
/// The parameters of these names that are there: {as it is called in the result, parameter}.
nlohmann::json picked(const nlohmann::json& parameters,
                      std::initializer_list<std::pair<const char*, std::string_view>> names);

/// For Method::promise, where nothing is known before.
inline nlohmann::json nothing_promised(const nlohmann::json&) {
    return nlohmann::json::object();
}

inline bool is_on(const nlohmann::json& parameters, std::string_view name) {
    const auto found = parameters.find(name);
    return found != parameters.end() && *found == true;
}

}  // namespace plasticity
