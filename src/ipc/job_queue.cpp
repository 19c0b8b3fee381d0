#include "ipc/job_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "core/error.h"
#include "core/interrupt.h"

namespace plasticity {
namespace {

using nlohmann::ordered_json;

constexpr std::chrono::milliseconds kQueueWakeUp{200};
constexpr int kInterrupted = 143;

std::int64_t unix_now() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

/// For events: logs and documents stay where they are.
Job without_bulk(const Job& job) {
    Job light;
    light.id = job.id;
    light.method = job.method;
    light.state = job.state;
    light.exit_code = job.exit_code;
    light.error = job.error;
    return light;
}

}  // namespace

JobQueue::JobQueue(JobStore store, const IpcLimits& limits, Hooks hooks)
    : store_(std::move(store)), limits_(limits), hooks_(std::move(hooks)) {
    for (Job& job : store_.load(hooks_.note)) {
        next_id_ = std::max(next_id_, job.id + 1);
        if (job.state == JobState::kRunning) job.state = JobState::kQueued;  // its server died
        if (!job.is_over() && job.attempts >= limits_.attempts) {
            job.state = JobState::kFailed;
            job.exit_code = static_cast<int>(ErrorKind::kInternal);
            job.error = fmt::format("the server died {} times while this was at work", job.attempts);
            store_.save(job);
        }
        jobs_.emplace(job.id, std::move(job));
    }
}

JobQueue::~JobQueue() {
    stop();
}

void JobQueue::start() {
    worker_ = std::thread([this] { run(); });
}

void JobQueue::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    if (worker_.joinable()) worker_.join();
}

std::optional<std::int64_t> JobQueue::add(const std::string& method, const nlohmann::json& parameters) {
    const std::lock_guard lock(mutex_);
    const auto waiting = std::ranges::count_if(jobs_, [](const auto& entry) { return !entry.second.is_over(); });
    if (static_cast<std::size_t>(waiting) >= limits_.queued_jobs) return std::nullopt;
    Job job;
    job.id = next_id_;
    job.method = method;
    job.parameters = parameters;
    job.queued_at = unix_now();
    store_.save(job);
    ++next_id_;
    jobs_.emplace(job.id, job);
    changed_.notify_all();
    return job.id;
}

bool JobQueue::cancel(std::int64_t id) {
    std::unique_lock lock(mutex_);
    const auto found = jobs_.find(id);
    if (found == jobs_.end() || found->second.is_over()) return false;
    if (found->second.state == JobState::kRunning) {
        cancelled_ = id;
        return true;
    }
    JobEvent event = close(found->second, [](Job& job) {
        job.state = JobState::kCancelled;
        job.exit_code = kInterrupted;
    });
    lock.unlock();
    hooks_.on_event(std::move(event));
    return true;
}

std::optional<Job> JobQueue::find(std::int64_t id) const {
    const std::lock_guard lock(mutex_);
    const auto found = jobs_.find(id);
    return found == jobs_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<ordered_json> JobQueue::summaries() const {
    const std::lock_guard lock(mutex_);
    std::vector<ordered_json> list;
    for (const auto& [id, job] : jobs_) list.push_back(job_summary(job));
    return list;
}

Job* JobQueue::next_queued() {
    const auto found = std::ranges::find_if(jobs_, [](auto& entry) { return entry.second.state == JobState::kQueued; });
    return found == jobs_.end() ? nullptr : &found->second;
}

/// @returns false when no job is to be begun any more
bool JobQueue::wait_for_turn() {
    std::unique_lock lock(mutex_);
    while (!stopping_ && !store_.is_free()) changed_.wait_for(lock, kQueueWakeUp);
    changed_.wait(lock, [this] { return stopping_ || next_queued() != nullptr; });
    return !stopping_;
}

void JobQueue::run() {
    while (wait_for_turn()) {
        std::int64_t id = 0;
        {
            const std::lock_guard lock(mutex_);
            Job* job = next_queued();
            if (job == nullptr) continue;
            job->state = JobState::kRunning;
            id = job->id;
        }
        run_job(id);
    }
}

void JobQueue::run_job(std::int64_t id) {
    const auto fail = [&](ErrorKind kind, std::string message) {
        finish(id, [&](Job& job) {
            job.state = JobState::kFailed;
            job.exit_code = static_cast<int>(kind);
            job.error = std::move(message);
        });
    };
    try {
        Job job;
        {
            const std::lock_guard lock(mutex_);
            Job& kept = jobs_.at(id);
            ++kept.attempts;
            kept.started_at = unix_now();
            store_.save(kept);
            job = kept;
        }
        on_progress(id, {{"event", "started"}});
        MethodResult result = hooks_.work(job, hooks_for(id));
        finish(id, [&](Job& done) {
            done.state = JobState::kDone;
            done.exit_code = result.exit_code;
            done.result = std::move(result.data);
        });
    } catch (const Interrupted& interrupted) {
        std::unique_lock lock(mutex_);
        if (cancelled_ == id || !stopping_) {
            lock.unlock();
            return finish(id, [&](Job& job) {
                job.state = JobState::kCancelled;
                job.exit_code = interrupted.exit_code();
            });
        }
        Job& job = jobs_.at(id);  // the next server goes on with it
        job.state = JobState::kQueued;
        --job.attempts;
        store_.save(job);
    } catch (const Error& problem) {
        fail(problem.kind(), problem.what());
    } catch (const std::bad_alloc&) {
        fail(ErrorKind::kIo, "out of memory");
    } catch (const std::exception& defect) {
        fail(ErrorKind::kInternal, defect.what());
    }
}

MethodHooks JobQueue::hooks_for(std::int64_t id) {
    return {.on_progress = [this, id](const ordered_json& event) { on_progress(id, event); },
            .on_state =
                [this, id](const MethodState& state) {
                    const std::lock_guard lock(mutex_);
                    Job& job = jobs_.at(id);
                    job.progress = state;
                    store_.save(job);
                },
            .stopped = [this, id] { return is_stopped(id); }};
}

bool JobQueue::is_stopped(std::int64_t id) const {
    const std::lock_guard lock(mutex_);
    return stopping_ || cancelled_ == id;
}

void JobQueue::on_progress(std::int64_t id, ordered_json event) {
    Job light;
    {
        const std::lock_guard lock(mutex_);
        Job& job = jobs_.at(id);
        if (event["event"] != "progress") job.log.push_back(event);
        if (job.log.size() > limits_.log_lines) job.log.pop_front();
        light = without_bulk(job);
    }
    hooks_.on_event({std::move(light), std::move(event)});
}

/// Whatever has become of it, it is over: on disk, then to all who wait for it.
void JobQueue::finish(std::int64_t id, const std::function<void(Job&)>& change) {
    std::unique_lock lock(mutex_);
    JobEvent event = close(jobs_.at(id), change);
    lock.unlock();
    hooks_.on_event(std::move(event));
}

/// Under the lock. @returns what is to be told without it
JobEvent JobQueue::close(Job& job, const std::function<void(Job&)>& change) {
    change(job);
    job.finished_at = unix_now();
    job.progress = {};
    if (cancelled_ == job.id) cancelled_.reset();
    try {
        store_.save(job);
    } catch (const Error& problem) {
        hooks_.note(fmt::format("job {} is over, but cannot be kept: {}", job.id, problem.what()));
    }
    JobEvent event{.job = without_bulk(job), .progress = nullptr};
    event.job.result = job.result;
    forget_oldest();
    return event;
}

void JobQueue::forget_oldest() {
    auto over = std::ranges::count_if(jobs_, [](const auto& entry) { return entry.second.is_over(); });
    for (auto job = jobs_.begin(); job != jobs_.end() && static_cast<std::size_t>(over) > limits_.kept_jobs;) {
        if (!job->second.is_over()) {
            ++job;
            continue;
        }
        store_.remove(job->second);
        job = jobs_.erase(job);
        --over;
    }
}

}  // namespace plasticity
