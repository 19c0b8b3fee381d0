#pragma once

#include <ggml-backend.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace plasticity {

/// A device of ggml's other than the CPU.
struct ComputeDevice {
    std::string name;         ///< ggml's: "CUDA0"
    std::string description;  ///< "NVIDIA H100 80GB HBM3"
    ggml_backend_dev_t handle = nullptr;

    std::string label() const { return name + " (" + description + ")"; }
};

/// GPUs that this ggml was built with and finds: those with memory of their own first.
std::vector<ComputeDevice> compute_devices();

/// What results may differ by on another machine: the CPU's instructions that ggml uses, and its devices.
std::string processor_description();

/// @param name  as in BackendChoice; case does not count
/// @returns nothing for the CPU
/// @throws Error (kUsage) with the names that there are
std::optional<ComputeDevice> choose_device(std::string_view name, const std::vector<ComputeDevice>& devices);

}  // namespace plasticity
