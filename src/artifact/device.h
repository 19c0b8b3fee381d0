#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace plasticity {

/// The machine a file is made for.
struct Device {
    std::string label;
    std::uint64_t memory_bytes = 0;
    std::uint64_t reserved_bytes = 0;  ///< for the system and other programs

    std::uint64_t effective_bytes() const { return memory_bytes - reserved_bytes; }
    bool operator==(const Device&) const = default;
};

/// Reads a device by name: `16gb` | `macbookair` (16 GB, 11 effective), `32gb` | `macbookpro` (24 effective),
/// `24gb-vram` | `5090` | `rtx5090` (22 effective), `<n>gb` (reserve max(25 %, 3 GB)), `auto` (this machine's RAM),
/// or JSON {"memoryGb", "reservedGb", "label"}. GB are 10⁹ bytes.
/// @throws Error (kUsage) with the list of names
Device parse_device(std::string_view spec);

}  // namespace plasticity
