#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/input_file.h"

namespace plasticity {

/// One tensor of a safetensors file, row-major, outermost dimension first.
struct SafetensorsEntry {
    std::string name;
    std::string dtype;  ///< "BF16", "F16", "F32", …, one of those the format defines
    std::vector<std::int64_t> shape;
    std::uint64_t offset = 0;  ///< in bytes from the start of the file
    std::uint64_t bytes = 0;
};

/// A safetensors file, its header checked whole (no holes, no overlaps, nothing past the end, sizes match shapes).
///
///     u64 header length n | n bytes of JSON {"name": {"dtype", "shape", "data_offsets": [begin, end)}} | data…
///
/// Source: github.com/huggingface/safetensors, README "Format".
class SafetensorsReader {
public:
    /// @throws Error (kMissing, kMalformed, kIo)
    explicit SafetensorsReader(const std::filesystem::path& path);

    const std::vector<SafetensorsEntry>& entries() const { return entries_; }  ///< ordered by offset
    const SafetensorsEntry* find(std::string_view name) const;
    const std::map<std::string, std::string>& metadata() const { return metadata_; }
    const InputFile& file() const { return file_; }

    /// Reads stored bytes of an entry. @throws Error (kIo; kInternal when the range leaves the entry)
    void read(const SafetensorsEntry& entry, std::uint64_t byte_offset, std::span<std::byte> out) const;

private:
    InputFile file_;
    std::vector<SafetensorsEntry> entries_;
    std::map<std::string, std::size_t, std::less<>> index_;  // name → position in entries_
    std::map<std::string, std::string> metadata_;
};

/// Bytes of one element of a safetensors dtype; 0 for one that the format does not define, or packs below a byte.
std::uint64_t safetensors_element_bytes(std::string_view dtype);

}  // namespace plasticity
