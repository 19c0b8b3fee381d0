#pragma once

#include <cstdint>
#include <filesystem>

namespace plasticity {

/// A Unix socket that listens, for this user alone (0600). Ends with the object, and so does its name.
class UnixListener {
public:
    /// A socket that nobody listens on any more is replaced; anything else of that name stays.
    /// @throws Error (kUsage when there is something else, or a server that listens; kIo)
    explicit UnixListener(std::filesystem::path path);
    ~UnixListener();
    UnixListener(const UnixListener&) = delete;
    UnixListener& operator=(const UnixListener&) = delete;

    int descriptor() const { return descriptor_; }
    /// @returns a connection that does not wait; -1 when there is none
    int accept() const;

private:
    std::filesystem::path path_;
    int descriptor_ = -1;
    std::uint64_t device_ = 0, inode_ = 0;  ///< of the name: another's is not removed
};

/// @returns a connection to whoever listens there. @throws Error (kMissing, kUsage for paths that are too long, kIo)
int connect_to(const std::filesystem::path& path);

}  // namespace plasticity
