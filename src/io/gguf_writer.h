#pragma once

#include <ggml.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
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

/// How far a file has been written.
struct GgufPosition {
    std::size_t tensor = 0;   ///< index of the next, or unfinished, tensor of the layout
    std::uint64_t bytes = 0;  ///< of that tensor
};

struct GgufWriterOptions {
    Overwrite overwrite = Overwrite::kRefuse;
    /// Not empty: continue what a killed process left (AtomicFileOptions::resume_key). The header counts by itself; the
    /// key names what the tensors' bytes depend on.
    std::string resume_key;
};

/// Writes a GGUF (version 3) front to back: header at once, then tensors in the layout's order, bytes as they come.
/// The file appears only on finish().
class GgufWriter {
public:
    /// @throws Error (kUsage, kIo) as AtomicFile does, free space being checked first; kInternal when no reader would
    ///         take the layout: names absent, doubled or too long, impossible shapes or alignment
    GgufWriter(const std::filesystem::path& target, GgufLayout layout, const GgufWriterOptions& options);
    GgufWriter(const std::filesystem::path& target, GgufLayout layout, Overwrite overwrite)
        : GgufWriter(target, std::move(layout), GgufWriterOptions{overwrite, {}}) {}

    /// Where the next bytes go. Right after construction: what an earlier process has written already, which ends where
    /// one of its calls of write() ended.
    GgufPosition position() const { return {next_tensor_, written_of_tensor_}; }

    /// Appends to the tensor that is next; moves on (and pads) once it is complete.
    /// @throws Error (kInternal when more arrives than the tensor holds or `name` is not the next one, kIo)
    void write(const std::string& name, std::span<const std::byte> bytes);

    /// Of all that is written so far; until finish(), and only with a resume_key.
    std::string sha256() const { return file_.sha256(); }

    /// @throws Error (kInternal when tensors are missing, kIo)
    void finish();

    const GgufLayout& layout() const { return layout_; }

private:
    void pad();
    void find_position();

    GgufLayout layout_;
    std::string header_;  // empty once it is written
    AtomicFile file_;
    std::size_t next_tensor_ = 0;
    std::uint64_t written_of_tensor_ = 0;
    std::uint64_t unmarked_bytes_ = 0;
};

}  // namespace plasticity
