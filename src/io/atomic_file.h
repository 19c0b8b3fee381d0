#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "io/partial_file.h"
#include "io/partial_journal.h"
#include "plasticity/overwrite.h"  // IWYU pragma: export

namespace plasticity {

struct AtomicFileOptions {
    Overwrite overwrite = Overwrite::kRefuse;
    /// Checked against the free space of the file system; 0 when unknown.
    std::uint64_t expected_bytes = 0;
    /// Not empty: continue what a killed process left behind under the same key (see PartialJournal). It must name
    /// everything that the bytes depend on.
    std::string resume_key;
};

/// A file that appears whole or not at all: written to a locked temporary beside the target (see PartialFile), then
/// fsync, rename, fsync of the directory. Destruction without commit removes the temporary and leaves the target as it
/// was; only a process that is killed leaves one, and the next run with this target removes or continues it.
class AtomicFile {
public:
    /// @throws Error (kUsage when the target exists and may not be replaced; kIo when it cannot be written, another
    ///         process is writing it, or space lacks), Interrupted
    AtomicFile(std::filesystem::path target, AtomicFileOptions options);
    AtomicFile(std::filesystem::path target, Overwrite overwrite, std::uint64_t expected_bytes = 0)
        : AtomicFile(std::move(target), AtomicFileOptions{overwrite, expected_bytes, {}}) {}
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    /// Appends. Retries EINTR and short writes. @throws Error (kIo)
    void write(std::span<const std::byte> bytes);
    /// With those of an earlier process that are kept: right after construction there are no others.
    std::uint64_t written() const { return written_; }
    /// SHA-256 of these bytes, until commit(). Only with a resume_key, which makes them be hashed anyway.
    /// @throws Error (kInternal) without
    std::string sha256() const;
    /// What is written so far may be kept, should this process be killed. Without a resume_key: nothing.
    /// @throws Error (kIo)
    void mark();

    /// Makes the target appear. @throws Error (kIo), the target then being as it was, or, when it was replaced and only
    /// the directory's fsync failed, whole and new
    void commit();

private:
    void prepare();
    void bring_name_to_disk();
    [[noreturn]] void fail(std::string_view what, int error) const;

    std::filesystem::path target_;
    AtomicFileOptions options_;
    std::optional<PartialFile> partial_;     ///< nothing once committed
    std::optional<PartialJournal> journal_;  ///< where there is a resume_key, until commit
    std::uint64_t written_ = 0;
};

/// Throws what the constructor of AtomicFile would: before hours of work that end in this file.
/// @throws Error (kUsage, kIo)
void require_writable(const std::filesystem::path& target, Overwrite overwrite, std::uint64_t expected_bytes = 0);

/// Writes a small text artifact in one go. @throws Error as AtomicFile does
void write_text_file(const std::filesystem::path& target, std::string_view text, Overwrite overwrite);

/// Reads a text artifact. @param max_bytes  larger files are refused before they are read
/// @throws Error (kMissing, kMalformed, kIo)
std::string read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes = std::uint64_t{1} << 30);

}  // namespace plasticity
