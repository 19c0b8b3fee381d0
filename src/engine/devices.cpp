#include "engine/devices.h"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <cctype>

#include "core/error.h"

namespace plasticity {
namespace {

std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

std::string expected_names(const std::vector<ComputeDevice>& devices) {
    std::string names = "auto or cpu";
    for (const ComputeDevice& device : devices) names += ", or " + device.label();
    if (devices.empty())
        names += "; ggml finds no other device, and has none but those it is built with (PLASTICITY_CUDA=ON make)";
    return names;
}

}  // namespace

std::string processor_description() {
    std::string text = llama_print_system_info();
    while (!text.empty() && (text.back() == ' ' || text.back() == '|')) text.pop_back();
    for (const ComputeDevice& device : compute_devices()) text += fmt::format("; {}", device.label());
    return text;
}

std::vector<ComputeDevice> compute_devices() {
    std::vector<ComputeDevice> devices;
    for (const auto type : {GGML_BACKEND_DEVICE_TYPE_GPU, GGML_BACKEND_DEVICE_TYPE_IGPU})
        for (std::size_t i = 0; i < ggml_backend_dev_count(); ++i) {
            ggml_backend_dev_t handle = ggml_backend_dev_get(i);
            if (ggml_backend_dev_type(handle) == type)
                devices.push_back({ggml_backend_dev_name(handle), ggml_backend_dev_description(handle), handle});
        }
    return devices;
}

std::optional<ComputeDevice> choose_device(std::string_view name, const std::vector<ComputeDevice>& devices) {
    const std::string wanted = lower(name);
    if (wanted == "cpu") return std::nullopt;
    if (wanted == "auto") return devices.empty() ? std::nullopt : std::optional(devices.front());
    const auto found = std::ranges::find(devices, wanted, [](const ComputeDevice& d) { return lower(d.name); });
    if (found == devices.end())
        throw Error(ErrorKind::kUsage, fmt::format("backend: got '{}'; expected {}", name, expected_names(devices)));
    return *found;
}

}  // namespace plasticity
