#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace plasticity {

/// A regular file read at positions (pread, never mmap: a file that shrinks must not kill the process).
/// Thread-safe: reads share no cursor.
class InputFile {
public:
    /// Follows symbolic links (hub caches are made of them); refuses what is not a regular file.
    /// @throws Error (kMissing when absent, kMalformed when not a regular file, kIo otherwise)
    explicit InputFile(std::filesystem::path path);
    ~InputFile();
    InputFile(InputFile&&) noexcept;
    InputFile& operator=(InputFile&&) noexcept;

    const std::filesystem::path& path() const { return path_; }
    std::uint64_t size() const { return size_; }

    /// Fills `out` from byte `offset` on.
    /// @throws Error (kMalformed when the range leaves the file, kIo)
    void read(std::uint64_t offset, std::span<std::byte> out) const;

    /// Size and modification time are still what they were when the file was opened. Call after the last read.
    /// @throws Error (kIo) naming the file
    void require_unchanged() const;

    /// Same device and inode as `other`, however either path is spelt.
    bool is_same_file(const std::filesystem::path& other) const;

private:
    std::filesystem::path path_;
    int descriptor_ = -1;
    std::uint64_t size_ = 0;
    std::int64_t modified_ns_ = 0;
    std::uint64_t device_ = 0;
    std::uint64_t inode_ = 0;
};

}  // namespace plasticity
