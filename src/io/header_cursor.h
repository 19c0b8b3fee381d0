#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "io/input_file.h"

namespace plasticity {

/// Reads a file's header front to back through a small buffer. Every read is checked against what is left first,
/// so a length out of the file never decides how much memory is taken. Little-endian, as GGUF is.
class HeaderCursor {
public:
    /// @param max_bytes  the header may not go on beyond this byte, however large the file is
    HeaderCursor(const InputFile& file, std::uint64_t max_bytes);

    std::uint64_t position() const { return position_; }
    std::uint64_t remaining() const { return end_ - position_; }

    /// Names the object being read, for messages.
    void enter(std::string where) { where_ = std::move(where); }

    /// @throws Error (kMalformed) naming file, byte and object when fewer bytes are left
    void read(std::span<std::byte> out, std::string_view what);

    template <typename T>
        requires std::is_arithmetic_v<T>
    T number(std::string_view what) {
        T value{};
        read(std::as_writable_bytes(std::span(&value, 1)), what);
        return value;
    }

    /// u64 length | bytes
    std::string text(std::string_view what, std::uint64_t max_bytes);

    /// u64 count of things that take at least `smallest` bytes each in the rest of the header
    std::uint64_t count(std::string_view what, std::uint64_t smallest, std::uint64_t max_count);

    /// @throws Error (kMalformed) with file, byte and object before `problem`
    [[noreturn]] void fail(std::string_view problem) const;

private:
    void fill();

    const InputFile& file_;
    std::uint64_t end_ = 0;
    std::uint64_t position_ = 0;  // of the next byte to hand out
    std::vector<std::byte> buffer_;
    std::size_t taken_ = 0;  // of buffer_
    std::string where_ = "header";
};

}  // namespace plasticity
