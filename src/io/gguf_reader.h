#pragma once

#include <ggml.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/gguf_metadata.h"
#include "io/input_file.h"

namespace plasticity {

/// One tensor of a GGUF. `dims` are GGUF's: dims[0] is the contiguous one (a row's length); the rest 1 where unused.
struct GgufTensor {
    std::string name;
    ggml_type type = GGML_TYPE_F32;
    int n_dims = 1;
    std::array<std::int64_t, 4> dims{1, 1, 1, 1};
    std::uint64_t offset = 0;  ///< in bytes from the start of the file
    std::uint64_t bytes = 0;

    std::int64_t row_length() const { return dims[0]; }
    std::int64_t n_rows() const { return dims[1] * dims[2] * dims[3]; }
};

/// A GGUF file, its header read and checked whole, its data read on demand.
///
///     magic "GGUF" | u32 version (2, 3) | u64 n_tensors | u64 n_kv | kv… | tensor infos… | pad | data…
///
/// Nothing is trusted: every count is bounded by what the rest of the file could hold before memory is taken for it,
/// every product is checked, every tensor lies inside the file, aligned, and overlaps no other.
/// Source: ggml/docs/gguf.md.
class GgufReader {
public:
    /// @throws Error (kMissing, kMalformed naming file, byte and expectation, kIo)
    explicit GgufReader(const std::filesystem::path& path);

    const GgufMetadata& metadata() const { return metadata_; }
    const std::vector<GgufTensor>& tensors() const { return tensors_; }
    const GgufTensor* find(std::string_view name) const;
    const InputFile& file() const { return file_; }
    std::uint64_t alignment() const { return alignment_; }

    /// Reads stored bytes of a tensor. @throws Error (kIo; kInternal when the range leaves the tensor)
    void read(const GgufTensor& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const;

private:
    InputFile file_;
    GgufMetadata metadata_;
    std::vector<GgufTensor> tensors_;
    std::map<std::string, std::size_t, std::less<>> index_;  // name → position in tensors_
    std::uint64_t alignment_ = 32;
};

}  // namespace plasticity
