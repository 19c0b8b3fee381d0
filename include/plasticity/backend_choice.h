#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace plasticity {

/// Where a model runs. ggml's devices are data: those that it was built with and finds go by ggml's names for them.
struct BackendChoice {
    /// "cpu" | "auto": the first GPU, or the CPU where there is none | a device's name, such as "CUDA0"
    std::string device = "auto";
    /// Of the last layers, so many lie on the device, the output matrix counted as one; nothing: as many as its free
    /// memory holds. Means nothing on the CPU.
    std::optional<std::int32_t> gpu_layers;
};

}  // namespace plasticity
