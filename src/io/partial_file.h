#pragma once

#include <filesystem>

namespace plasticity {

/// The temporary of one output: `.NAME.partial` beside it. The name is fixed, so that a run finds, continues or
/// replaces what a killed one left; it is locked (flock) while it lives, so that two processes never write the same
/// output. Destruction removes it, unless it was renamed.
class PartialFile {
public:
    /// Opens what is left over, or makes it. A link, a pipe, another user's file or one with a second name in the way
    /// is never written to: its name is taken over. On file systems without locks the name also holds the process
    /// number, and nothing is left over.
    /// @throws Error (kIo when another process holds the lock, or the folder does not take a file)
    explicit PartialFile(const std::filesystem::path& target);
    ~PartialFile();
    PartialFile(const PartialFile&) = delete;
    PartialFile& operator=(const PartialFile&) = delete;

    /// For reading and writing, at its start.
    int descriptor() const { return descriptor_; }
    const std::filesystem::path& path() const { return path_; }

    /// The file has its final name now: there is nothing to remove.
    void renamed() { path_.clear(); }
    /// Gives up the lock. @returns 0 or errno
    int close();

private:
    void open_locked(const std::filesystem::path& target);
    void open_without_lock(const std::filesystem::path& target);

    std::filesystem::path path_;  // empty once there is nothing to remove
    int descriptor_ = -1;
};

/// `.NAME.partial` beside the target; names near the file system's limit are shortened and told apart by a hash.
std::filesystem::path partial_path(const std::filesystem::path& target);

/// The folder that a target lies in, "." for a bare name.
std::filesystem::path folder_of(const std::filesystem::path& target);

/// fsync, repeated when interrupted. @returns 0 or errno
int synchronise(int descriptor);

/// Brings a folder's entries to disk; file systems that do not know how are let pass. @returns 0 or errno
int synchronise_folder(const std::filesystem::path& folder);

}  // namespace plasticity
