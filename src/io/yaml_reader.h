#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace plasticity {

/// A value of a YAML document, with where it begins.
struct YamlNode {
    enum class Kind { kScalar, kList, kMap };

    Kind kind = Kind::kScalar;
    nlohmann::json scalar;          ///< null, bool, number or text
    std::vector<std::string> keys;  ///< of a map, one for each item; all different
    std::vector<YamlNode> items;    ///< of a list or a map
    int line = 1, column = 1;

    /// @returns nullptr where the map has no such key, or this is no map
    const YamlNode* find(std::string_view key) const;
};

/// What a stranger's document may hold.
struct YamlLimits {
    std::size_t bytes = 256 << 10;
    std::size_t nodes = 20'000;
    int depth = 12;  ///< lists and maps inside each other
};

/// Reads one YAML document. Plain scalars become null, bool or number as in YAML 1.2's core schema (no octal, no hex,
/// no NaN), what is quoted is text. Anchors and aliases are refused, and so are tags, keys that are no text or there
/// twice, a second document, and bytes that are no UTF-8.
/// @param where  names the text in messages, which say line and column
/// @throws Error (kMalformed)
YamlNode read_yaml(std::string_view text, const std::string& where, const YamlLimits& limits = {});

/// What a plain scalar stands for.
nlohmann::json plain_scalar(const std::string& text);

}  // namespace plasticity
