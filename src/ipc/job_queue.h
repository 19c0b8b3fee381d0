#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "ipc/job_store.h"
#include "ipc/limits.h"

namespace plasticity {

/// Something that whoever waits for a job wants to know.
struct JobEvent {
    Job job;                          ///< without log, and without result but for the last event
    nlohmann::ordered_json progress;  ///< null: the job is over
};

/// Jobs, of which one runs at a time, in the order in which they came. What is accepted is on disk, and goes on where
/// it was when another server takes over the store. Thread-safe.
class JobQueue {
public:
    /// How a job is run: run_method but for tests. @throws Error, Interrupted
    using Work = std::function<MethodResult(const Job&, const MethodHooks&)>;

    struct Hooks {
        Work work;
        /// Called by any thread, holding no lock.
        std::function<void(JobEvent)> on_event;
        std::function<void(const std::string&)> note;
    };

    /// Nothing runs before start(). @throws as JobStore
    JobQueue(JobStore store, const IpcLimits& limits, Hooks hooks);
    ~JobQueue();

    void start();
    /// Ends the job that runs, which will be continued by the next server, and waits for that.
    void stop();

    /// @returns the job's id; nothing where too many wait. @throws Error (kIo)
    std::optional<std::int64_t> add(const std::string& method, const nlohmann::json& parameters);
    /// @returns false where there is no such job, or it is over. One that runs is over a little later.
    bool cancel(std::int64_t id);

    std::optional<Job> find(std::int64_t id) const;
    std::vector<nlohmann::ordered_json> summaries() const;

private:
    void run();
    bool wait_for_turn();
    void run_job(std::int64_t id);
    MethodHooks hooks_for(std::int64_t id);
    void on_progress(std::int64_t id, nlohmann::ordered_json event);
    void finish(std::int64_t id, const std::function<void(Job&)>& change);
    JobEvent close(Job& job, const std::function<void(Job&)>& change);
    void forget_oldest();
    bool is_stopped(std::int64_t id) const;
    Job* next_queued();

    JobStore store_;
    IpcLimits limits_;
    Hooks hooks_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::int64_t, Job> jobs_;
    std::int64_t next_id_ = 1;
    std::optional<std::int64_t> cancelled_;  ///< the running job, where it is to end
    bool stopping_ = false;
    std::thread worker_;
};

}  // namespace plasticity
