#pragma once

// Files that were damaged after they were written.
//
//     overwrite(path, tensor.offset, bytes);
//     swap_blocks(path, 0, 1);  // of a GGUF: every shape, type and number is still as announced

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "io/gguf_reader.h"

namespace plasticity::test {

inline void overwrite(const std::filesystem::path& path, std::uint64_t offset, std::span<const std::byte> bytes) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
}

/// The bytes of two blocks of one geometry change places.
inline void swap_blocks(const std::filesystem::path& path, int first, int second) {
    const auto prefix = [](int block) { return "blk." + std::to_string(block) + "."; };
    const GgufReader file(path);
    for (const GgufTensor& tensor : file.tensors()) {
        if (!tensor.name.starts_with(prefix(first))) continue;
        const GgufTensor& other = *file.find(prefix(second) + tensor.name.substr(prefix(first).size()));
        std::vector<std::byte> of_first(tensor.bytes), of_second(other.bytes);
        file.read(tensor, 0, of_first);
        file.read(other, 0, of_second);
        overwrite(path, tensor.offset, of_second);
        overwrite(path, other.offset, of_first);
    }
}

}  // namespace plasticity::test
