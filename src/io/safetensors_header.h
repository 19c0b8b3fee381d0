#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace plasticity {

/// The limit of the format's reference implementation.
inline constexpr std::uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// A tensor as the JSON header names it, nothing checked but the JSON's own form.
struct SafetensorsRecord {
    std::string name;
    std::string dtype;
    std::vector<std::uint64_t> shape;
    std::uint64_t begin = 0;  ///< offsets into the data
    std::uint64_t end = 0;
};

struct SafetensorsHeader {
    std::vector<SafetensorsRecord> tensors;
    std::map<std::string, std::string> metadata;  ///< of "__metadata__"
};

/// Reads the JSON event by event, so that memory stays in proportion to the text whatever it holds.
/// @param where  the file, for messages
/// @throws Error (kMalformed): not JSON, not UTF-8, duplicate or unknown keys, values of the wrong type
SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& where);

}  // namespace plasticity
