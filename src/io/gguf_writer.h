#pragma once

#include <ggml.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "io/gguf_metadata.h"

namespace plasticity {

/// A tensor to be written. `dims` are GGUF's: dims[0] is a row's length.
struct GgufTensorSpec {
    std::string name;
    ggml_type type = GGML_TYPE_F32;
    int n_dims = 1;
    std::array<std::int64_t, 4> dims{1, 1, 1, 1};

    /// As stored, without padding; ggml gives the type's block size. @throws Error (kInternal) when no file can hold it
    std::uint64_t bytes() const;
};

/// Everything about a file that is known before a weight is read. The key general.alignment is written from `alignment`
/// where that is not 32; metadata need not hold it.
struct GgufLayout {
    GgufMetadata metadata;
    std::vector<GgufTensorSpec> tensors;  ///< in the order in which they are written
    std::uint32_t alignment = 32;

    std::uint64_t header_bytes() const;  ///< up to the first tensor, padding included
    std::uint64_t file_bytes() const;    ///< exactly what the finished file holds
};

/// Writes a GGUF (version 3) front to back: header at once, then tensors in the layout's order, bytes as they come.
/// The file appears only on finish().
class GgufWriter {
public:
    /// @throws Error (kUsage, kIo) as AtomicFile does, free space being checked first; kInternal when no reader would
    ///         take the layout: names absent, doubled or too long, impossible shapes or alignment
    GgufWriter(const std::filesystem::path& target, GgufLayout layout, Overwrite overwrite);

    /// Appends to the tensor that is next; moves on (and pads) once it is complete.
    /// @throws Error (kInternal when more arrives than the tensor holds or `name` is not the next one, kIo)
    void write(const std::string& name, std::span<const std::byte> bytes);

    /// @throws Error (kInternal when tensors are missing, kIo)
    void finish();

    const GgufLayout& layout() const { return layout_; }

private:
    void pad();

    GgufLayout layout_;
    AtomicFile file_;
    std::size_t next_tensor_ = 0;
    std::uint64_t written_of_tensor_ = 0;
};

}  // namespace plasticity
