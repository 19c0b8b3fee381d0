#include "io/partial_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/hash.h"

namespace plasticity {
namespace {

constexpr int kMaxAttempts = 100;               // a name that changes hands under every attempt
constexpr std::size_t kMaxFileNameBytes = 255;  // of one name, on all common file systems
constexpr std::string_view kLongestSuffix = "..partial.journal";

[[noreturn]] void fail(const std::filesystem::path& target, int error) {
    std::string message =
        fmt::format("{}: cannot create a file in its folder: {}", target.string(), system_reason(error));
    if (error == ENOENT) message += "; create the folder first";
    throw Error(ErrorKind::kIo, message);
}

/// Waits for nothing. @returns 0, EWOULDBLOCK where another process holds it, or what else flock says
int try_lock(int descriptor) {
    while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0)
        if (errno != EINTR) return errno;
    return 0;
}

/// The name still leads to the open file: between open and lock its owner may have renamed or removed it.
bool is_at(const std::filesystem::path& path, const struct stat& open) {
    struct stat named{};
    return ::lstat(path.c_str(), &named) == 0 && named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

/// Nobody else can have a use for this file's bytes.
bool is_ours_alone(const struct stat& status) {
    return S_ISREG(status.st_mode) && status.st_nlink == 1 && status.st_uid == ::geteuid();
}

}  // namespace

std::filesystem::path folder_of(const std::filesystem::path& target) {
    return target.has_parent_path() ? target.parent_path() : std::filesystem::path(".");
}

std::filesystem::path partial_path(const std::filesystem::path& target) {
    std::string name = target.filename().string();
    if (name.size() + kLongestSuffix.size() > kMaxFileNameBytes)
        name = fmt::format("{}-{}", name.substr(0, 200), sha256_hex(name).substr(0, 16));
    return folder_of(target) / fmt::format(".{}.partial", name);
}

int synchronise(int descriptor) {
    while (::fsync(descriptor) != 0)
        if (errno != EINTR) return errno;
    return 0;
}

int synchronise_folder(const std::filesystem::path& folder) {
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return 0;  // a folder one may write but not read
    const int error = synchronise(descriptor);
    ::close(descriptor);
    return error == EINVAL || error == ENOTSUP || error == EROFS ? 0 : error;
}

PartialFile::PartialFile(const std::filesystem::path& target) {
    open_locked(target);
    if (descriptor_ < 0) open_without_lock(target);
}

void PartialFile::open_locked(const std::filesystem::path& target) {
    const std::filesystem::path path = partial_path(target);
    for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
        // O_NONBLOCK: a pipe put in the way must not hang.
        const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
        if (descriptor < 0 && errno == EINTR) continue;
        const bool is_in_the_way = descriptor < 0 && (errno == ELOOP || errno == ENXIO || errno == EACCES);
        if (is_in_the_way && ::unlink(path.c_str()) == 0) continue;
        if (descriptor < 0) fail(target, errno);

        struct stat status{};
        const int refused = try_lock(descriptor);
        const bool is_named = ::fstat(descriptor, &status) == 0 && is_at(path, status);
        if (refused == 0 && is_named && is_ours_alone(status)) {
            path_ = path;
            descriptor_ = descriptor;
            return;
        }
        ::close(descriptor);
        if (refused == EWOULDBLOCK && is_named)
            throw Error(ErrorKind::kIo, fmt::format("{}: another process is writing it (it holds {}); wait for it, or "
                                                    "name another output",
                                                    target.string(), path.string()));
        if (refused != 0 && refused != EWOULDBLOCK) return;  // no locks here
        if (is_named && !is_ours_alone(status) && ::unlink(path.c_str()) != 0) fail(target, errno);
    }
    fail(target, EBUSY);
}

void PartialFile::open_without_lock(const std::filesystem::path& target) {
    const std::filesystem::path locked = partial_path(target);
    ::unlink(locked.c_str());  // made by the attempt to lock it
    path_ = locked.string() + fmt::format(".{}", ::getpid());
    ::unlink(path_.c_str());  // of a killed process that had our number
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ >= 0) return;
    const int error = errno;
    path_.clear();
    fail(target, error);
}

int PartialFile::close() {
    const int failed = ::close(std::exchange(descriptor_, -1)) == 0 ? 0 : errno;
    return failed == EINTR ? 0 : failed;  // Linux has closed it all the same
}

PartialFile::~PartialFile() {
    if (!path_.empty()) ::unlink(path_.c_str());  // while it is locked: afterwards it may be another's
    if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace plasticity
