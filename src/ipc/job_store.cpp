#include "ipc/job_store.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/error.h"
#include "io/atomic_file.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxJobBytes = std::uint64_t{256} << 20;
constexpr std::string_view kSuffix = ".job.json";

/// Made for this user alone; what is there already must be that, too.
void make_private_folder(const fs::path& folder) {
    std::error_code failure;
    if (folder.has_parent_path()) fs::create_directories(folder.parent_path(), failure);
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
        throw Error(ErrorKind::kIo,
                    fmt::format("{}: cannot make this folder: {}", folder.string(), system_reason(errno)));
    struct stat status{};
    if (::lstat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
        throw Error(ErrorKind::kUsage, fmt::format("{}: is no folder; expected one for the jobs", folder.string()));
    if (status.st_uid != ::geteuid() || (status.st_mode & 077) != 0)
        throw Error(ErrorKind::kUsage, fmt::format("{}: others may enter this folder; expected one of this user's own, "
                                                   "with mode 0700",
                                                   folder.string()));
}

}  // namespace

JobStore::JobStore(fs::path folder) : folder_(std::move(folder)), is_free_(folder_.empty()) {
    if (folder_.empty()) return;
    make_private_folder(folder_);
    server_lock_ = std::make_unique<ProcessLock>(folder_ / "server.lock", ProcessLock::Inherit::kNo);
    if (!server_lock_->try_lock())
        throw Error(
            ErrorKind::kUsage,
            fmt::format("{}: another server is at work on these jobs; expected one at a time", folder_.string()));
    // Commands inherit it, so that it tells whether those of a server that was killed are gone.
    work_lock_ = std::make_unique<ProcessLock>(folder_ / "work.lock", ProcessLock::Inherit::kYes);
}

bool JobStore::is_free() {
    if (!is_free_) is_free_ = work_lock_->try_lock();
    return is_free_;
}

fs::path JobStore::file_of(const Job& job) const {
    return folder_ / fmt::format("{:08}{}", job.id, kSuffix);
}

std::vector<Job> JobStore::load(const std::function<void(const std::string&)>& note) const {
    std::vector<Job> jobs;
    if (folder_.empty()) return jobs;
    for (const auto& entry : fs::directory_iterator(folder_)) {
        if (!entry.path().string().ends_with(kSuffix)) continue;
        try {
            Job job = job_from_text(read_text_file(entry.path(), kMaxJobBytes), entry.path().string());
            if (file_of(job).filename() != entry.path().filename())
                throw Error(ErrorKind::kMalformed, fmt::format("{}: is job {}", entry.path().string(), job.id));
            jobs.push_back(std::move(job));
        } catch (const Error& problem) {
            note(fmt::format("left alone: {}", problem.what()));
        }
    }
    std::ranges::sort(jobs, {}, &Job::id);
    return jobs;
}

void JobStore::save(const Job& job) const {
    if (!folder_.empty()) write_text_file(file_of(job), job_to_text(job), Overwrite::kReplace);
}

void JobStore::remove(const Job& job) const {
    std::error_code ignored;
    if (!folder_.empty()) fs::remove(file_of(job), ignored);
}

}  // namespace plasticity
