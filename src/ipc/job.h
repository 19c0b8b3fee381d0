#pragma once

#include <cstdint>
#include <deque>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "ipc/method_run.h"

namespace plasticity {

enum class JobState { kQueued, kRunning, kDone, kFailed, kCancelled };

/// One call of a method, from being queued until it is forgotten.
struct Job {
    static constexpr int kSchemaVersion = 1;

    std::int64_t id = 0;  ///< from 1, in the order in which they came
    std::string method;
    nlohmann::json parameters = nlohmann::json::object();  ///< checked
    JobState state = JobState::kQueued;
    MethodState progress;
    int attempts = 0;                        ///< times that it was begun
    int exit_code = 0;                       ///< of what is over: that of the command which decided it
    std::string error;                       ///< of a failed one
    nlohmann::ordered_json result;           ///< of a finished one
    std::deque<nlohmann::ordered_json> log;  ///< what its commands said of their progress, but for the steps between
    std::int64_t queued_at = 0, started_at = 0, finished_at = 0;  ///< seconds since 1970, 0: not yet

    bool is_over() const { return state != JobState::kQueued && state != JobState::kRunning; }
};

std::string_view job_state_name(JobState state);

/// What a list of jobs tells of each.
nlohmann::ordered_json job_summary(const Job& job);
/// The same with parameters, log, and result or error.
nlohmann::ordered_json job_details(const Job& job);

/// The job as a file. schemaVersion, id, method, …; see docs/formats.md.
std::string job_to_text(const Job& job);
/// @param where  names the text in messages. @throws Error (kMalformed)
Job job_from_text(std::string_view text, const std::string& where);

}  // namespace plasticity
