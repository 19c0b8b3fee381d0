#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/atomic_file.h"

namespace plasticity {

/// A tensor to be written: row-major, outermost dimension first.
struct SafetensorsSpec {
    std::string name;
    std::string dtype;
    std::vector<std::int64_t> shape;

    std::uint64_t bytes() const;
};

/// Writes one safetensors file front to back, in the order of `tensors`. The file appears only on finish().
class SafetensorsWriter {
public:
    /// @throws Error (kUsage, kIo)
    SafetensorsWriter(const std::filesystem::path& target, std::vector<SafetensorsSpec> tensors, Overwrite overwrite);

    /// Appends to the tensors in order. @throws Error (kInternal when more arrives than was announced, kIo)
    void write(std::span<const std::byte> bytes);
    /// @throws Error (kInternal when bytes are missing, kIo)
    void finish();

private:
    std::vector<SafetensorsSpec> tensors_;
    std::string header_;
    AtomicFile file_;
    std::uint64_t expected_ = 0;
    std::uint64_t written_ = 0;
};

}  // namespace plasticity
