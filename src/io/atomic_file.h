#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace plasticity {

/// What to do where the target exists.
enum class Overwrite { kRefuse, kReplace };

/// A file that appears whole or not at all: written to a temporary beside the target, then fsync, rename,
/// fsync of the directory. Destruction without commit removes the temporary and leaves the target as it was.
class AtomicFile {
public:
    /// @param expected_bytes  checked against the free space of the file system; 0 when unknown
    /// @throws Error (kUsage when the target exists and may not be replaced; kIo when it cannot be written or space
    /// lacks)
    AtomicFile(std::filesystem::path target, Overwrite overwrite, std::uint64_t expected_bytes = 0);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    /// Appends. Retries EINTR and short writes. @throws Error (kIo)
    void write(std::span<const std::byte> bytes);
    std::uint64_t written() const { return written_; }

    /// Makes the target appear. @throws Error (kIo), the target then being as it was
    void commit();

private:
    [[noreturn]] void fail(std::string_view what, int error) const;

    std::filesystem::path target_;
    std::filesystem::path temporary_;  // empty once there is none
    Overwrite overwrite_;
    std::uint64_t expected_bytes_ = 0;
    int descriptor_ = -1;
    std::uint64_t written_ = 0;
};

/// Writes a small text artifact in one go. @throws Error as AtomicFile does
void write_text_file(const std::filesystem::path& target, std::string_view text, Overwrite overwrite);

/// Reads a text artifact. @param max_bytes  larger files are refused before they are read
/// @throws Error (kMissing, kMalformed, kIo)
std::string read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes = std::uint64_t{1} << 30);

}  // namespace plasticity
