#include "model/staged_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "core/error.h"
#include "core/units.h"
#include "io/printable.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_io(const fs::path& path, std::string_view what, const std::error_code& failure) {
    throw Error(ErrorKind::kIo, fmt::format("{}: {}: {}", path.string(), what, failure.message()));
}

fs::path without_trailing_slash(fs::path path) {
    if (!path.has_filename()) return path.parent_path();
    return path;
}

/// A temporary name beside `target`, on the same file system, so that renaming is one step.
fs::path make_folder_beside(const fs::path& target) {
    const fs::path parent = target.has_parent_path() ? target.parent_path() : fs::path(".");
    std::string name = (parent / fmt::format(".{}.partial-XXXXXX", target.filename().string())).string();
    if (!mkdtemp(name.data())) throw_io(target, "cannot make a folder beside it", {errno, std::generic_category()});
    return name;
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

void sync_folder(const fs::path& path) {
    const int descriptor = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) throw_io(path, "cannot open", {errno, std::generic_category()});
    const int result = fsync(descriptor);
    const int failure = errno;
    close(descriptor);
    if (result != 0) throw_io(path, "cannot sync", {failure, std::generic_category()});
}

}  // namespace

StagedFolder::StagedFolder(fs::path target, Overwrite overwrite, const std::function<bool(std::string_view)>& is_ours)
    : target_(without_trailing_slash(std::move(target))) {
    try {
        require_replaceable(target_, overwrite, is_ours);
    } catch (const fs::filesystem_error& error) {
        throw_io(target_, "cannot look into it", error.code());
    }
    staging_ = make_folder_beside(target_);
    fs::permissions(staging_, fs::perms(0755));  // mkdtemp's 0700 would make the result private
}

StagedFolder::~StagedFolder() {
    if (staging_.empty()) return;
    std::error_code ignored;
    fs::remove_all(staging_, ignored);
}

void StagedFolder::require_space(std::uint64_t bytes) const {
    std::error_code failure;
    const fs::space_info space = fs::space(staging_, failure);
    if (failure) throw_io(target_, "cannot tell the free space", failure);
    if (space.available < bytes)
        throw Error(ErrorKind::kIo, fmt::format("{}: needs {}, but the disk has {} left", target_.string(),
                                                format_bytes(bytes), format_bytes(space.available)));
}

void StagedFolder::commit() {
    sync_folder(staging_);
    std::error_code failure;
    fs::path previous;
    if (fs::exists(target_)) {
        previous = make_folder_beside(target_);
        fs::rename(target_, previous, failure);
        if (failure) throw_io(target_, "cannot move the old folder away", failure);
    }
    fs::rename(staging_, target_, failure);
    if (failure) {
        std::error_code ignored;
        if (!previous.empty()) fs::rename(previous, target_, ignored);
        throw_io(target_, "cannot rename the finished folder", failure);
    }
    staging_.clear();
    sync_folder(target_.has_parent_path() ? target_.parent_path() : fs::path("."));
    if (!previous.empty()) fs::remove_all(previous, failure);
}

}  // namespace plasticity
