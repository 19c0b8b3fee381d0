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
#include <utility>

#include "core/error.h"
#include "core/units.h"
#include "io/call_limit.h"
#include "io/input_file.h"

namespace plasticity {
namespace {

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

void require_folder(const std::filesystem::path& target) {
    const std::filesystem::path folder = folder_of(target);
    struct stat status{};
    const int error = ::stat(folder.c_str(), &status) == 0 ? 0 : errno;
    if (error != 0 || !S_ISDIR(status.st_mode))
        throw Error(ErrorKind::kIo, fmt::format("{}: its folder {}: {}; create the folder first", target.string(),
                                                folder.string(), system_reason(error != 0 ? error : ENOTDIR)));
    if (::access(folder.c_str(), W_OK | X_OK) != 0)
        throw Error(ErrorKind::kIo,
                    fmt::format("{}: cannot create a file in its folder: {}", target.string(), system_reason(errno)));
}

void require_free_space(const std::filesystem::path& target, std::uint64_t needed_bytes) {
    const auto available = free_bytes(folder_of(target));
    if (available && needed_bytes > *available)
        throw Error(ErrorKind::kIo,
                    fmt::format("{}: needs {} ({} bytes), but its file system has {} ({} bytes) free; make room or "
                                "name an output elsewhere",
                                target.string(), format_bytes(needed_bytes), needed_bytes, format_bytes(*available),
                                *available));
}

/// What link() says on file systems without hard links.
bool means_no_links(int error) {
    return error == EPERM || error == ENOTSUP || error == EOPNOTSUPP || error == ENOSYS || error == EMLINK;
}

/// Gives the finished temporary its name. @return 0 or errno
int publish(const std::filesystem::path& temporary, const std::filesystem::path& target, Overwrite overwrite) {
    if (overwrite == Overwrite::kRefuse) {
        // link() fails where the target exists, however late it came into being; rename() would replace it.
        if (::link(temporary.c_str(), target.c_str()) == 0) {
            if (::unlink(temporary.c_str()) == 0) return 0;
            const int error = errno;
            ::unlink(target.c_str());
            return error;
        }
        if (!means_no_links(errno)) return errno;
        struct stat status{};  // check, then rename
        if (::lstat(target.c_str(), &status) == 0) return EEXIST;
    }
    return ::rename(temporary.c_str(), target.c_str()) == 0 ? 0 : errno;
}

}  // namespace

void require_writable(const std::filesystem::path& target, Overwrite overwrite, std::uint64_t expected_bytes) {
    require_target(target, overwrite);
    require_folder(target);
    require_free_space(target, expected_bytes);
}

AtomicFile::AtomicFile(std::filesystem::path target, AtomicFileOptions options)
    : target_(std::move(target)), options_(std::move(options)) {
    require_target(target_, options_.overwrite);
    partial_.emplace(target_);
    prepare();
}

/// Keeps of a left-over temporary what is known to be right, and no more; then the rest must have room.
void AtomicFile::prepare() {
    if (options_.resume_key.empty())
        ::unlink(journal_path(partial_->path()).c_str());  // of a killed process
    else
        written_ = journal_.emplace(partial_->path(), partial_->descriptor(), options_.resume_key).verified_bytes();
    const auto kept = static_cast<off_t>(written_);
    if (::ftruncate(partial_->descriptor(), kept) != 0) fail("cannot shorten its temporary", errno);
    if (::lseek(partial_->descriptor(), kept, SEEK_SET) != kept) fail("cannot continue its temporary", errno);
    require_free_space(target_, options_.expected_bytes - std::min(written_, options_.expected_bytes));
}

void AtomicFile::fail(std::string_view what, int error) const {
    std::string message = fmt::format("{}: {}: {}", target_.string(), what, system_reason(error));
    if (error == ENOSPC || error == EDQUOT) {
        if (options_.expected_bytes > written_)
            message += fmt::format("; {} more are needed", format_bytes(options_.expected_bytes - written_));
        if (const auto available = free_bytes(folder_of(target_)))
            message += fmt::format("; {} are free", format_bytes(*available));
    }
    if (error == ENOENT) message += "; create the folder first";
    throw Error(ErrorKind::kIo, message);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
    if (!partial_) throw Error(ErrorKind::kInternal, fmt::format("{}: written after commit", target_.string()));
    while (!bytes.empty()) {
        const ssize_t put = ::write(partial_->descriptor(), bytes.data(), std::min(bytes.size(), kMaxBytesPerCall));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) fail(fmt::format("cannot write byte {} on", written_), errno);
        if (put == 0) fail(fmt::format("cannot write byte {} on", written_), EIO);  // or this would go on for ever
        if (journal_) journal_->add(bytes.first(static_cast<std::size_t>(put)));
        written_ += static_cast<std::uint64_t>(put);
        bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
}

std::string AtomicFile::sha256() const {
    if (!journal_)
        throw Error(ErrorKind::kInternal,
                    fmt::format("{}: its SHA-256 is asked for, but no journal keeps one", target_.string()));
    return journal_->sha256();
}

void AtomicFile::mark() {
    if (journal_) journal_->mark();
}

void AtomicFile::commit() {
    if (!partial_) throw Error(ErrorKind::kInternal, fmt::format("{}: committed twice", target_.string()));
    // Data first, then the name: a directory entry must never outlive the bytes that it points to.
    if (const int error = synchronise(partial_->descriptor())) fail("cannot bring it to disk", error);
    journal_.reset();  // before the name changes: it must not be left over beside a finished file
    const int error = publish(partial_->path(), target_, options_.overwrite);
    if (error == EEXIST && options_.overwrite == Overwrite::kRefuse)
        throw Error(ErrorKind::kUsage, fmt::format("{}: came into being meanwhile; use --force to replace it, or name "
                                                   "another output",
                                                   target_.string()));
    if (error != 0) fail("cannot give the finished file its name", error);
    partial_->renamed();
    bring_name_to_disk();
    partial_.reset();
}

/// What fails here leaves the name in doubt: a new one is taken back, so that failure means there is no file.
void AtomicFile::bring_name_to_disk() {
    const int unsynchronised = synchronise_folder(folder_of(target_));
    const int unclosed = partial_->close();
    if (unsynchronised == 0 && unclosed == 0) return;
    const bool is_new = options_.overwrite == Overwrite::kRefuse;
    if (is_new) ::unlink(target_.c_str());
    fail(is_new ? "cannot bring its name to disk" : "is replaced, but may not outlast a power failure",
         unsynchronised != 0 ? unsynchronised : unclosed);
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
