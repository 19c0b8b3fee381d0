#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/atomic_file.h"
#include "support/expect_error.h"
#include "support/file_content.h"
#include "support/temp_dir.h"

namespace plasticity::test {

/// A file's bytes, put together by hand: malformed inputs are written where they are tested.
class Bytes {
public:
    template <typename T>
        requires std::is_arithmetic_v<T>
    Bytes& number(T value) {
        bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
        return *this;
    }
    Bytes& u8(std::uint8_t value) { return number(value); }
    Bytes& u32(std::uint32_t value) { return number(value); }
    Bytes& u64(std::uint64_t value) { return number(value); }
    Bytes& raw(std::string_view bytes) {
        bytes_ += bytes;
        return *this;
    }
    /// u64 length | bytes, as GGUF stores strings
    Bytes& text(std::string_view text) { return u64(text.size()).raw(text); }
    Bytes& zeros(std::size_t n) {
        bytes_.append(n, '\0');
        return *this;
    }
    Bytes& pad_to(std::size_t alignment) { return zeros((alignment - bytes_.size() % alignment) % alignment); }

    const std::string& str() const { return bytes_; }
    std::size_t size() const { return bytes_.size(); }

private:
    std::string bytes_;
};

inline std::vector<std::string> names_in(const std::filesystem::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
    return names;
}

/// Writes to the temporary of a file to be.
inline void put(AtomicFile& file, std::string_view text) {
    file.write(std::as_bytes(std::span(text)));
}

}  // namespace plasticity::test
