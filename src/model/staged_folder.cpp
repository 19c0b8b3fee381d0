#include "model/staged_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "core/error.h"
#include "core/units.h"
#include "io/printable.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxAttempts = 100;  // a name that changes hands under every attempt

[[noreturn]] void throw_io(const fs::path& path, std::string_view what, const std::error_code& failure) {
    throw Error(ErrorKind::kIo, fmt::format("{}: {}: {}", path.string(), what, failure.message()));
}

fs::path without_trailing_slash(fs::path path) {
    if (!path.has_filename()) return path.parent_path();
    return path;
}

void require_replaceable(const fs::path& target, Overwrite overwrite,
                         const std::function<bool(std::string_view)>& is_ours) {
    const fs::file_status status = fs::symlink_status(target);
    if (!fs::exists(status)) return;
    if (!fs::is_directory(status))
        throw Error(ErrorKind::kUsage, fmt::format("{}: exists and is no folder; name another", target.string()));
    for (const auto& entry : fs::directory_iterator(target)) {
        if (overwrite == Overwrite::kRefuse)
            throw Error(ErrorKind::kUsage,
                        fmt::format("{}: exists and is not empty; --force replaces it", target.string()));
        if (!entry.is_regular_file() || !is_ours(entry.path().filename().string()))
            throw Error(ErrorKind::kUsage, fmt::format("{}: holds {}, which is no part of a model; name another folder",
                                                       target.string(), printable(entry.path().filename().string())));
    }
}

/// The name still leads to the open folder: between open and lock its owner may have renamed it.
bool is_at(const fs::path& path, int folder) {
    struct stat open{}, named{};
    return ::fstat(folder, &open) == 0 && ::lstat(path.c_str(), &named) == 0 && open.st_dev == named.st_dev &&
           open.st_ino == named.st_ino;
}

void bring_to_disk(const fs::path& folder, const fs::path& target) {
    if (const int error = synchronise_folder(folder))
        throw_io(target, "cannot bring it to disk", {error, std::generic_category()});
}

}  // namespace

StagedFolder::StagedFolder(fs::path target, Overwrite overwrite, const std::function<bool(std::string_view)>& is_ours)
    : target_(without_trailing_slash(std::move(target))) {
    try {
        require_replaceable(target_, overwrite, is_ours);
    } catch (const fs::filesystem_error& error) {
        throw_io(target_, "cannot look into it", error.code());
    }
    open_staging();
}

void StagedFolder::open_staging() {
    const fs::path staging = partial_path(target_);
    for (int attempt = 0; lock_ < 0 && attempt < kMaxAttempts; ++attempt) {
        if (::mkdir(staging.c_str(), 0777) != 0 && errno != EEXIST)
            throw_io(target_,
                     errno == ENOENT ? "create the folder first; cannot make one beside it"
                                     : "cannot make a folder beside it",
                     {errno, std::generic_category()});
        const int folder = ::open(staging.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folder < 0 && errno == ENOENT) continue;  // its owner has just renamed or removed it
        if (folder < 0) throw_io(target_, staging.string() + " is in the way", {errno, std::generic_category()});
        const bool is_busy = ::flock(folder, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        if (!is_busy && is_at(staging, folder))
            lock_ = folder;
        else
            ::close(folder);
        if (is_busy)
            throw Error(ErrorKind::kIo, fmt::format("{}: another process is writing it (it holds {}); wait for it, or "
                                                    "name another output",
                                                    target_.string(), staging.string()));
    }
    staging_ = staging;
    std::error_code failure;
    for (const auto& entry : fs::directory_iterator(staging_, failure)) fs::remove_all(entry.path(), failure);
    if (failure) throw_io(target_, "cannot remove what an earlier run left in " + staging.string(), failure);
}

void StagedFolder::remove_staging() const {
    std::error_code ignored;
    if (!staging_.empty()) fs::remove_all(staging_, ignored);
}

StagedFolder::~StagedFolder() {
    remove_staging();
    if (lock_ >= 0) ::close(lock_);
}

void StagedFolder::require_space(std::uint64_t bytes) const {
    std::error_code failure;
    const fs::space_info space = fs::space(staging_, failure);
    if (failure) throw_io(target_, "cannot tell the free space", failure);
    if (space.available < bytes)
        throw Error(
            ErrorKind::kIo,
            fmt::format("{}: needs {} ({} bytes), but its file system has {} ({} bytes) free; make room or "
                        "name an output elsewhere",
                        target_.string(), format_bytes(bytes), bytes, format_bytes(space.available), space.available));
}

bool StagedFolder::exchange() const {
#ifdef RENAME_EXCHANGE
    if (::renameat2(AT_FDCWD, staging_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) return true;
    if (errno != EINVAL && errno != ENOSYS)
        throw_io(target_, "cannot exchange it for the finished folder", {errno, std::generic_category()});
#endif
    return false;
}

/// Where names cannot be exchanged: a crash between the steps leaves the old folder under the temporary's name.
void StagedFolder::replace_in_two_steps() {
    const fs::path previous = staging_.string() + ".old";
    std::error_code failure, ignored;
    fs::remove_all(previous, ignored);
    fs::rename(target_, previous, failure);
    if (failure) throw_io(target_, "cannot move the old folder away", failure);
    fs::rename(staging_, target_, failure);
    if (failure) {
        fs::rename(previous, target_, ignored);
        throw_io(target_, "cannot rename the finished folder", failure);
    }
    staging_ = previous;
}

void StagedFolder::commit() {
    bring_to_disk(staging_, target_);
    std::error_code failure;
    const bool replaces = fs::exists(fs::symlink_status(target_, failure));
    bool exchanged = false;
    if (replaces) {
        exchanged = exchange();
        if (!exchanged) replace_in_two_steps();
    } else {
        fs::rename(staging_, target_, failure);
        if (failure) throw_io(target_, "cannot rename the finished folder", failure);
    }
    try {
        bring_to_disk(folder_of(target_), target_);
    } catch (const Error&) {  // the name is in doubt: take it back, so that failure means what it says
        std::error_code ignored;
        if (exchanged)
            exchange();
        else if (!replaces)
            fs::rename(target_, staging_, ignored);
        throw;
    }
    if (!replaces) staging_.clear();
}

}  // namespace plasticity
