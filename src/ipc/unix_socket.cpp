#include "ipc/unix_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

constexpr int kBacklog = 32;

sockaddr_un address_of(const fs::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path.string();
    if (text.size() >= sizeof address.sun_path)
        throw Error(ErrorKind::kUsage,
                    fmt::format("{}: {} bytes; a socket's path holds {} at most, so take a shorter one", text,
                                text.size(), sizeof address.sun_path - 1));
    std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
    return address;
}

int new_socket(const fs::path& path) {
    const int descriptor = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (descriptor < 0)
        throw Error(ErrorKind::kIo, fmt::format("{}: cannot make a socket: {}", path.string(), system_reason(errno)));
    ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    return descriptor;
}

/// @returns 0 or errno
int try_connect(int descriptor, const fs::path& path) {
    const sockaddr_un address = address_of(path);
    while (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        if (errno != EINTR) return errno;
    return 0;
}

/// What a server that was killed has left; anything else stays. Other servers of the same path are kept out meanwhile
/// by the lock on its jobs.
void remove_stale(const fs::path& path) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0) return;
    if (!S_ISSOCK(status.st_mode))
        throw Error(ErrorKind::kUsage, fmt::format("{}: exists and is no socket; expected a new name", path.string()));
    const int probe = new_socket(path);
    const int error = try_connect(probe, path);
    ::close(probe);
    if (error != ECONNREFUSED)
        throw Error(ErrorKind::kUsage,
                    error == 0
                        ? fmt::format("{}: a server listens there; expected another path", path.string())
                        : fmt::format("{}: a socket that cannot be asked: {}", path.string(), system_reason(error)));
    ::unlink(path.c_str());
}

}  // namespace

UnixListener::UnixListener(fs::path path) : path_(std::move(path)) {
    const sockaddr_un address = address_of(path_);
    remove_stale(path_);
    descriptor_ = new_socket(path_);
    // The name appears with its mode: nobody may slip in between bind and chmod.
    const mode_t before = ::umask(0177);
    const int failed = ::bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int error = errno;
    ::umask(before);
    struct stat status{};
    if (failed != 0 || ::listen(descriptor_, kBacklog) != 0 || ::lstat(path_.c_str(), &status) != 0) {
        const int reason = failed != 0 ? error : errno;
        ::close(descriptor_);
        throw Error(ErrorKind::kIo, fmt::format("{}: cannot listen there: {}{}", path_.string(), system_reason(reason),
                                                reason == ENOENT ? "; create the folder first" : ""));
    }
    device_ = status.st_dev;
    inode_ = status.st_ino;
    ::fcntl(descriptor_, F_SETFL, O_NONBLOCK);
}

UnixListener::~UnixListener() {
    struct stat status{};
    if (::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_)
        ::unlink(path_.c_str());
    ::close(descriptor_);
}

int UnixListener::accept() const {
    const int connection = ::accept(descriptor_, nullptr, nullptr);
    if (connection < 0) return -1;
    ::fcntl(connection, F_SETFD, FD_CLOEXEC);
    ::fcntl(connection, F_SETFL, O_NONBLOCK);
    return connection;
}

int connect_to(const fs::path& path) {
    const int descriptor = new_socket(path);
    int error = 0;
    try {
        error = try_connect(descriptor, path);
    } catch (...) {
        ::close(descriptor);
        throw;
    }
    if (error == 0) return descriptor;
    ::close(descriptor);
    throw Error(error == ENOENT || error == ECONNREFUSED ? ErrorKind::kMissing : ErrorKind::kIo,
                fmt::format("{}: no server answers there: {}; start one with: plasticity ipc --socket {}",
                            path.string(), system_reason(error), path.string()));
}

}  // namespace plasticity
