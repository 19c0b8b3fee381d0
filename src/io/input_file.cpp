#include "io/input_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/error.h"
#include "io/call_limit.h"

namespace plasticity {
namespace {

std::int64_t modification_time_ns(const struct stat& status) {
#ifdef __APPLE__
    const timespec& time = status.st_mtimespec;
#else
    const timespec& time = status.st_mtim;
#endif
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

int open_for_reading(const std::filesystem::path& path) {
    for (;;) {
        // O_NONBLOCK: opening a FIFO that nobody writes to must not hang; regular files do not care.
        const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (descriptor >= 0) return descriptor;
        if (errno == EINTR) continue;
        const int error = errno;
        if (error == ENOENT || error == ENOTDIR)
            throw Error(ErrorKind::kMissing, fmt::format("{}: no such file; check the path", path.string()));
        if (error == ENXIO)  // a socket
            throw Error(ErrorKind::kMalformed, fmt::format("{}: not a regular file", path.string()));
        throw Error(ErrorKind::kIo,
                    fmt::format("{}: cannot open for reading: {}", path.string(), system_reason(error)));
    }
}

void close_quietly(int descriptor) {
    if (descriptor >= 0) ::close(descriptor);
}

}  // namespace

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
    // An embedded NUL would silently open another file than the one that was named.
    if (path_.empty() || path_.native().find('\0') != std::string::npos)
        throw Error(ErrorKind::kMissing, "input file: the path is empty or holds a NUL byte");
    descriptor_ = open_for_reading(path_);

    struct stat status{};
    const int failed = ::fstat(descriptor_, &status) == 0 ? 0 : errno;
    if (failed != 0 || !S_ISREG(status.st_mode)) {
        close_quietly(descriptor_);
        descriptor_ = -1;
        if (failed != 0)
            throw Error(ErrorKind::kIo, fmt::format("{}: cannot stat: {}", path_.string(), system_reason(failed)));
        throw Error(ErrorKind::kMalformed,
                    fmt::format("{}: {}; expected a regular file", path_.string(),
                                S_ISDIR(status.st_mode) ? "is a folder" : "is a pipe or device"));
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
    modified_ns_ = modification_time_ns(status);
    device_ = static_cast<std::uint64_t>(status.st_dev);
    inode_ = static_cast<std::uint64_t>(status.st_ino);
}

InputFile::~InputFile() {
    close_quietly(descriptor_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_),
      modified_ns_(other.modified_ns_),
      device_(other.device_),
      inode_(other.inode_) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
    if (this == &other) return *this;
    close_quietly(descriptor_);
    path_ = std::move(other.path_);
    descriptor_ = std::exchange(other.descriptor_, -1);
    size_ = other.size_;
    modified_ns_ = other.modified_ns_;
    device_ = other.device_;
    inode_ = other.inode_;
    return *this;
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> out) const {
    if (offset > size_ || out.size() > size_ - offset)
        throw Error(ErrorKind::kMalformed,
                    fmt::format("{}: {} bytes at byte {} leave the file of {} bytes; is it truncated?", path_.string(),
                                out.size(), offset, size_));
    while (!out.empty()) {
        const ssize_t got =
            ::pread(descriptor_, out.data(), std::min(out.size(), kMaxBytesPerCall), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            throw Error(ErrorKind::kIo, fmt::format("{}: cannot read {} bytes at byte {}: {}", path_.string(),
                                                    out.size(), offset, system_reason(errno)));
        if (got == 0)
            throw Error(ErrorKind::kIo, fmt::format("{}: ends at byte {}, but held {} bytes when it was opened; "
                                                    "something shortened it meanwhile",
                                                    path_.string(), offset, size_));
        offset += static_cast<std::uint64_t>(got);
        out = out.subspan(static_cast<std::size_t>(got));
    }
}

void InputFile::require_unchanged() const {
    struct stat status{};
    if (::fstat(descriptor_, &status) != 0)
        throw Error(ErrorKind::kIo, fmt::format("{}: cannot stat: {}", path_.string(), system_reason(errno)));
    if (static_cast<std::uint64_t>(status.st_size) != size_ || modification_time_ns(status) != modified_ns_)
        throw Error(ErrorKind::kIo, fmt::format("{}: changed while it was being read ({} bytes now, {} when opened); "
                                                "run again once nothing writes to it",
                                                path_.string(), status.st_size, size_));
}

bool InputFile::is_same_file(const std::filesystem::path& other) const {
    struct stat status{};
    return ::stat(other.c_str(), &status) == 0 && static_cast<std::uint64_t>(status.st_dev) == device_ &&
           static_cast<std::uint64_t>(status.st_ino) == inode_;
}

}  // namespace plasticity
