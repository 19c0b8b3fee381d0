#include "ipc/job_queue.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <future>
#include <semaphore>

#include "core/interrupt.h"
#include "support/expect_error.h"
#include "support/file_content.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

using nlohmann::json;
using State = JobState;

constexpr auto kPatience = std::chrono::seconds(20);

/// A queue whose jobs do what their parameter says: "fail", "wait" until they are stopped, or end at once.
class Jobs {
public:
    explicit Jobs(const std::filesystem::path& folder = {}, const IpcLimits& limits = {})
        : queue_(JobStore(folder), limits,
                 {.work = [this](const Job& job, const MethodHooks& hooks) { return work(job, hooks); },
                  .on_event = [this](const JobEvent& event) { take(event); },
                  .note = [this](const std::string& note) { notes.push_back(note); }}) {}

    JobQueue& queue() { return queue_; }
    std::int64_t add(const char* what) { return queue_.add("m", {{"do", what}}).value(); }
    Job at(std::int64_t id) { return queue_.find(id).value(); }

    Job wait_until(std::int64_t id, State state) {
        std::unique_lock lock(mutex_);
        const bool came = changed_.wait_for(lock, kPatience, [&] { return queue_.find(id)->state == state; });
        EXPECT_TRUE(came) << "job " << id << " is " << job_state_name(queue_.find(id)->state);
        return *queue_.find(id);
    }

    std::vector<std::string> notes;
    std::vector<MethodState> seen;  ///< what jobs began from

private:
    MethodResult work(const Job& job, const MethodHooks& hooks) {
        seen.push_back(job.progress);
        const std::string what = job.parameters.value("do", "");
        hooks.on_progress({{"event", "note"}, {"message", what}});
        if (what == "fail") throw Error(ErrorKind::kMissing, "not there");
        if (what == "wait") {
            hooks.on_state({.documents = {{{"step", 1}}}, .has_begun = true});
            while (!hooks.stopped()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            throw Interrupted(SIGTERM);
        }
        return {.data = {{"did", what}}, .exit_code = what == "unverified" ? 7 : 0};
    }
    void take(const JobEvent&) {
        const std::lock_guard lock(mutex_);
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    JobQueue queue_;
};

TEST(JobQueueTest, RunsJobsInTheirOrder) {
    Jobs jobs;
    const auto first = jobs.add("a"), second = jobs.add("unverified"), third = jobs.add("fail");
    EXPECT_EQ(first, 1);
    jobs.queue().start();
    EXPECT_EQ(jobs.wait_until(first, State::kDone).result, (json{{"did", "a"}}));
    EXPECT_EQ(jobs.wait_until(second, State::kDone).exit_code, 7);
    const Job failed = jobs.wait_until(third, State::kFailed);
    EXPECT_EQ(failed.error, "not there");
    EXPECT_EQ(failed.exit_code, 3);
    EXPECT_EQ(job_details(failed)["log"].size(), 2u);  // started, note
    EXPECT_EQ(jobs.queue().summaries().size(), 3u);
}

TEST(JobQueueTest, CancelsWhatRunsAndWhatWaits) {
    Jobs jobs;
    const auto running = jobs.add("wait"), waiting = jobs.add("a"), last = jobs.add("b");
    jobs.queue().start();
    jobs.wait_until(running, State::kRunning);
    EXPECT_TRUE(jobs.queue().cancel(waiting));
    EXPECT_EQ(jobs.at(waiting).state, State::kCancelled);
    EXPECT_TRUE(jobs.queue().cancel(running));
    EXPECT_EQ(jobs.wait_until(running, State::kCancelled).exit_code, 143);
    jobs.wait_until(last, State::kDone);
    EXPECT_FALSE(jobs.queue().cancel(running));
    EXPECT_FALSE(jobs.queue().cancel(99));
}

TEST(JobQueueTest, GoesOnWhereAnotherServerStopped) {
    const test::TempDir dir;
    std::int64_t running = 0, waiting = 0;
    {
        Jobs jobs(dir / "jobs");
        running = jobs.add("wait");
        waiting = jobs.add("a");
        jobs.queue().start();
        jobs.wait_until(running, State::kRunning);
        while (jobs.at(running).progress.documents.empty()) std::this_thread::yield();
    }
    Jobs next(dir / "jobs");
    EXPECT_EQ(next.at(running).state, State::kQueued);
    EXPECT_EQ(next.at(running).attempts, 0);  // it was told to end
    EXPECT_EQ(next.add("later"), 3);
    next.queue().start();
    next.wait_until(running, State::kRunning);
    next.queue().cancel(running);
    next.wait_until(waiting, State::kDone);
    EXPECT_EQ(next.seen.at(0).documents.size(), 1u);
    EXPECT_TRUE(next.seen.at(0).has_begun);
}

TEST(JobQueueTest, AJobThatTheServerDiesOfIsGivenUp) {
    const test::TempDir dir;
    {
        const JobStore store(dir / "jobs");
        Job job;
        job.id = 5;
        job.method = "m";
        job.state = State::kRunning;
        job.attempts = 3;
        store.save(job);
    }
    Jobs jobs(dir / "jobs");
    EXPECT_EQ(jobs.at(5).state, State::kFailed);
    EXPECT_NE(jobs.at(5).error.find("3 times"), std::string::npos);
    EXPECT_EQ(jobs.add("a"), 6);
}

TEST(JobQueueTest, BoundsWhatWaitsAndWhatIsKept) {
    const test::TempDir dir;
    IpcLimits limits;
    limits.queued_jobs = 3;
    limits.kept_jobs = 2;
    Jobs jobs(dir / "jobs", limits);
    const auto first = jobs.add("a");
    jobs.add("b");
    const auto third = jobs.add("c");
    EXPECT_EQ(jobs.queue().add("m", json::object()), std::nullopt);
    jobs.queue().start();
    jobs.wait_until(third, State::kDone);
    EXPECT_FALSE(jobs.queue().find(first));
    EXPECT_FALSE(std::filesystem::exists(dir / "jobs/00000001.job.json"));
}

TEST(JobStoreTest, IsThisUsersAloneAndOneServersAtATime) {
    const test::TempDir dir;
    const JobStore store(dir / "jobs");
    struct stat status{};
    ASSERT_EQ(stat((dir / "jobs").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
    test::expect_error(ErrorKind::kUsage, {"another server"}, [&] { JobStore other(dir / "jobs"); });
    std::filesystem::create_directory(dir / "open");
    std::filesystem::permissions(dir / "open", std::filesystem::perms(0755));
    test::expect_error(ErrorKind::kUsage, {"others may enter"}, [&] { JobStore other(dir / "open"); });
    test::write_bytes(dir / "file", "x");
    test::expect_error(ErrorKind::kUsage, {"is no folder"}, [&] { JobStore other(dir / "file"); });
}

TEST(JobStoreTest, LeavesAloneWhatIsNoJob) {
    const test::TempDir dir;
    const JobStore store(dir / "jobs");
    Job job;
    job.id = 2;
    job.method = "m";
    store.save(job);
    const std::string text = job_to_text(job);
    for (const auto& [name, content] :
         std::vector<std::pair<std::string, std::string>>{{"00000003.job.json", text},  // says it is another
                                                          {"00000004.job.json", "{"},
                                                          {"00000005.job.json", R"({"schemaVersion":99})"}})
        test::write_bytes(dir / "jobs" / name, content);
    int notes = 0;
    const auto jobs = store.load([&](const std::string&) { ++notes; });
    ASSERT_EQ(jobs.size(), 1u);
    EXPECT_EQ(jobs[0].id, 2);
    EXPECT_EQ(notes, 3);
}

TEST(JobFile, RefusesEveryKindOfDamage) {
    Job job;
    job.id = 2;
    job.method = "m";
    const json good = json::parse(job_to_text(job));
    EXPECT_EQ(job_to_text(job_from_text(good.dump(), "job")), job_to_text(job));
    for (const auto& [key, value] : std::vector<std::pair<std::string, json>>{{"id", 0},
                                                                              {"id", "2"},
                                                                              {"state", "asleep"},
                                                                              {"params", json::array()},
                                                                              {"progress", 5},
                                                                              {"log", json::object()},
                                                                              {"attempts", -1},
                                                                              {"more", 1},
                                                                              {"schemaVersion", 2}}) {
        json bad = good;
        bad[key] = value;
        test::expect_error(ErrorKind::kMalformed, {"job"}, [&] { job_from_text(bad.dump(), "job"); });
    }
}

}  // namespace
}  // namespace plasticity
