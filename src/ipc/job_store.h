#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ipc/job.h"
#include "ipc/process_lock.h"

namespace plasticity {

/// A server's jobs on disk: a folder of the user's own (0700), a file for each job, which is replaced whole.
class JobStore {
public:
    /// @param folder  made where it is not there; empty: jobs are kept in memory alone
    /// @throws Error (kIo; kUsage when another server has the folder, or it is another user's)
    explicit JobStore(std::filesystem::path folder);

    /// In the order of their ids. @param note  told of files that are no jobs, which stay as they are
    std::vector<Job> load(const std::function<void(const std::string&)>& note) const;
    /// On disk when this returns. @throws Error (kIo)
    void save(const Job& job) const;
    void remove(const Job& job) const;

    /// Commands of an earlier server may still be at work. @returns false until they are gone
    bool is_free();

private:
    std::filesystem::path file_of(const Job& job) const;

    std::filesystem::path folder_;
    std::unique_ptr<ProcessLock> server_lock_, work_lock_;
    bool is_free_ = false;
};

}  // namespace plasticity
