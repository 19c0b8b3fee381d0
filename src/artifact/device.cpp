#include "artifact/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "artifact/json_text.h"
#include "core/error.h"
#include "core/memory.h"
#include "core/units.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

constexpr double kMostGb = 1e6;
constexpr std::string_view kNames =
    "16gb|macbookair, 32gb|macbookpro, 24gb-vram|5090|rtx5090, <n>gb, auto, or JSON "
    "{\"memoryGb\": 16, \"reservedGb\": 5, \"label\": \"name\"}";

struct NamedDevice {
    std::string_view name;
    std::string_view label;
    std::uint64_t memory_gb;
    std::uint64_t effective_gb;
};

constexpr std::array kNamedDevices{
    NamedDevice{"16gb", "MacBook Air 16 GB", 16, 11},        NamedDevice{"macbookair", "MacBook Air 16 GB", 16, 11},
    NamedDevice{"32gb", "MacBook Pro 32 GB", 32, 24},        NamedDevice{"macbookpro", "MacBook Pro 32 GB", 32, 24},
    NamedDevice{"24gb-vram", "GPU with 24 GB VRAM", 24, 22}, NamedDevice{"5090", "RTX 5090 (24 GB VRAM)", 24, 22},
    NamedDevice{"rtx5090", "RTX 5090 (24 GB VRAM)", 24, 22},
};

[[noreturn]] void refuse(std::string_view spec, std::string_view problem) {
    throw Error(ErrorKind::kUsage, fmt::format("device \"{}\": {}; expected {}", spec, problem, kNames));
}

std::uint64_t bytes_of_gb(double gb) {
    return static_cast<std::uint64_t>(std::llround(gb * 1e9));
}

/// What the system and other programs need where nobody says otherwise.
std::uint64_t default_reserve(std::uint64_t memory_bytes) {
    return std::max(memory_bytes / 4, 3 * kGb);
}

Device checked(Device device, std::string_view spec) {
    if (device.memory_bytes == 0 || device.reserved_bytes >= device.memory_bytes)
        refuse(spec,
               fmt::format("{} of memory less {} reserved leave nothing", device.memory_bytes, device.reserved_bytes));
    return device;
}

Device device_from_json(std::string_view spec) {
    try {
        const auto json = parse_strict_json(spec, "device");
        ObjectReader reader(json, "device");
        const double memory_gb = reader.number("memoryGb");
        if (!(memory_gb > 0 && memory_gb <= kMostGb)) reader.fail("memoryGb", "is out of range");
        Device device;
        device.memory_bytes = bytes_of_gb(memory_gb);
        device.reserved_bytes = default_reserve(device.memory_bytes);
        if (reader.has("reservedGb")) {
            const double reserved_gb = reader.number("reservedGb");
            if (!(reserved_gb >= 0 && reserved_gb <= kMostGb)) reader.fail("reservedGb", "is out of range");
            device.reserved_bytes = bytes_of_gb(reserved_gb);
        }
        device.label = reader.has("label") ? reader.text("label") : fmt::format("{} GB", memory_gb);
        reader.finish();
        return checked(device, spec);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::kMalformed) throw;
        refuse(spec, error.what());
    }
}

Device this_machine() {
    const auto memory = machine_memory_bytes();
    if (!memory)
        throw Error(ErrorKind::kIo, "device auto: the system does not say how much memory it has; name a size");
    Device device{"this machine", *memory, 0};
    device.reserved_bytes = default_reserve(device.memory_bytes);
    return checked(device, "auto");
}

}  // namespace

Device parse_device(std::string_view spec) {
    if (spec.starts_with('{')) return device_from_json(spec);
    std::string name(spec);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (name == "auto") return this_machine();
    for (const NamedDevice& known : kNamedDevices)
        if (name == known.name)
            return {std::string(known.label), known.memory_gb * kGb, (known.memory_gb - known.effective_gb) * kGb};

    double gb = 0;
    const char* end = name.data() + name.size();
    const auto [rest, status] = std::from_chars(name.data(), end, gb, std::chars_format::fixed);
    if (status != std::errc{} || std::string_view(rest, end) != "gb" || !(gb > 0 && gb <= kMostGb))
        refuse(spec, "not a known device");
    Device device{name.substr(0, name.size() - 2) + " GB", bytes_of_gb(gb), 0};
    device.reserved_bytes = default_reserve(device.memory_bytes);
    return checked(device, spec);
}

}  // namespace plasticity
