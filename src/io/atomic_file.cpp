#include "io/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "core/units.h"
#include "io/input_file.h"

namespace plasticity {
namespace {

constexpr std::size_t kMaxBytesPerCall = std::size_t{1} << 30;
constexpr int kMaxLeftovers = 100;  // temporaries of killed processes that had our process number

std::string reason(int error) {
    return std::generic_category().message(error);
}

std::filesystem::path folder_of(const std::filesystem::path& target) {
    return target.has_parent_path() ? target.parent_path() : std::filesystem::path(".");
}

std::optional<std::uint64_t> free_bytes(const std::filesystem::path& folder) {
    struct statvfs status{};
    if (::statvfs(folder.c_str(), &status) != 0) return std::nullopt;
    return std::uint64_t{status.f_bavail} * status.f_frsize;
}

void require_target(const std::filesystem::path& target, Overwrite overwrite) {
    if (!target.has_filename() || target.native().find('\0') != std::string::npos)
        throw Error(ErrorKind::kUsage, fmt::format("output {}: not the name of a file", target.string()));
    struct stat status{};
    if (::lstat(target.c_str(), &status) != 0) return;  // absent, or creating the temporary says what is wrong
    if (!S_ISREG(status.st_mode) && !S_ISLNK(status.st_mode))
        throw Error(ErrorKind::kUsage, fmt::format("{}: is {}; expected the name of a file to write", target.string(),
                                                   S_ISDIR(status.st_mode) ? "a folder" : "a pipe or device"));
    if (overwrite == Overwrite::kRefuse)
        throw Error(
            ErrorKind::kUsage,
            fmt::format("{}: exists already; use --force to replace it, or name another output", target.string()));
}

void require_free_space(const std::filesystem::path& target, std::uint64_t expected_bytes) {
    const auto available = free_bytes(folder_of(target));
    if (available && expected_bytes > *available)
        throw Error(ErrorKind::kIo,
                    fmt::format("{}: needs {}, but its file system has {} free; make room or name an "
                                "output elsewhere",
                                target.string(), format_bytes(expected_bytes), format_bytes(*available)));
}

std::filesystem::path temporary_name(const std::filesystem::path& target, int attempt) {
    // File systems allow 255 bytes a name; the target's may be that long already.
    const std::string name = target.filename().string().substr(0, 200);
    const std::string suffix = attempt == 0 ? std::string() : fmt::format("-{}", attempt);
    return folder_of(target) / fmt::format(".{}.{}{}.partial", name, ::getpid(), suffix);
}

/// Data first, then the name: a directory entry must never outlive the bytes that it points to.
int synchronise(int descriptor) {
    while (::fsync(descriptor) != 0)
        if (errno != EINTR) return errno;
    return 0;
}

void synchronise_folder(const std::filesystem::path& folder) {
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;  // a folder one may write but not read; the rename itself has happened
    synchronise(descriptor);     // some file systems refuse this for folders: nothing better can be done there
    ::close(descriptor);
}

/// Gives the finished temporary its name. @return 0 or errno
int publish(const std::filesystem::path& temporary, const std::filesystem::path& target, Overwrite overwrite) {
    if (overwrite == Overwrite::kRefuse) {
        // link() fails where the target exists, however late it came into being; rename() would replace it.
        if (::link(temporary.c_str(), target.c_str()) == 0) return ::unlink(temporary.c_str()) == 0 ? 0 : errno;
        if (errno == EEXIST) return EEXIST;
        struct stat status{};  // no hard links on this file system: check, then rename
        if (::lstat(target.c_str(), &status) == 0) return EEXIST;
    }
    return ::rename(temporary.c_str(), target.c_str()) == 0 ? 0 : errno;
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path target, Overwrite overwrite, std::uint64_t expected_bytes)
    : target_(std::move(target)), overwrite_(overwrite), expected_bytes_(expected_bytes) {
    require_target(target_, overwrite_);
    require_free_space(target_, expected_bytes_);
    for (int attempt = 0; attempt < kMaxLeftovers && descriptor_ < 0; ++attempt) {
        temporary_ = temporary_name(target_, attempt);
        descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor_ < 0 && errno != EEXIST && errno != EINTR) break;
    }
    if (descriptor_ < 0) {
        const int error = errno;
        temporary_.clear();
        fail("cannot create a file in its folder", error);
    }
}

AtomicFile::~AtomicFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(std::string_view what, int error) const {
    std::string message = fmt::format("{}: {}: {}", target_.string(), what, reason(error));
    if (error == ENOSPC || error == EDQUOT) {
        if (expected_bytes_ > written_)
            message += fmt::format("; {} more are needed", format_bytes(expected_bytes_ - written_));
        if (const auto available = free_bytes(folder_of(target_)))
            message += fmt::format("; {} are free", format_bytes(*available));
    }
    if (error == ENOENT) message += "; create the folder first";
    throw Error(ErrorKind::kIo, message);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
    if (descriptor_ < 0) throw Error(ErrorKind::kInternal, fmt::format("{}: written after commit", target_.string()));
    while (!bytes.empty()) {
        const ssize_t put = ::write(descriptor_, bytes.data(), std::min(bytes.size(), kMaxBytesPerCall));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) fail(fmt::format("cannot write byte {} on", written_), errno);
        if (put == 0) fail(fmt::format("cannot write byte {} on", written_), EIO);  // or this would go on for ever
        written_ += static_cast<std::uint64_t>(put);
        bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
}

void AtomicFile::commit() {
    if (descriptor_ < 0) throw Error(ErrorKind::kInternal, fmt::format("{}: committed twice", target_.string()));
    if (const int error = synchronise(descriptor_)) fail("cannot bring it to disk", error);
    const int closed = ::close(std::exchange(descriptor_, -1)) == 0 ? 0 : errno;
    if (closed != 0 && closed != EINTR) fail("cannot close it", closed);  // after EINTR Linux has closed all the same

    const int error = publish(temporary_, target_, overwrite_);
    if (error == EEXIST && overwrite_ == Overwrite::kRefuse)
        throw Error(ErrorKind::kUsage, fmt::format("{}: came into being meanwhile; use --force to replace it, or name "
                                                   "another output",
                                                   target_.string()));
    if (error != 0) fail("cannot give the finished file its name", error);
    temporary_.clear();
    synchronise_folder(folder_of(target_));
}

void write_text_file(const std::filesystem::path& target, std::string_view text, Overwrite overwrite) {
    AtomicFile file(target, overwrite, text.size());
    file.write(std::as_bytes(std::span(text)));
    file.commit();
}

std::string read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
    const InputFile file(path);
    if (file.size() > max_bytes)
        throw Error(ErrorKind::kMalformed, fmt::format("{}: {} bytes; expected at most {} of a text file",
                                                       path.string(), file.size(), max_bytes));
    std::string text(static_cast<std::size_t>(file.size()), '\0');
    file.read(0, std::as_writable_bytes(std::span(text)));
    return text;
}

}  // namespace plasticity
