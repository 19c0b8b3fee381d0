#include "ipc/job.h"

#include <algorithm>
#include <array>
#include <limits>

#include "artifact/json_text.h"
#include "core/error.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::array kStateNames{"queued", "running", "done", "failed", "cancelled"};
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr int kMaxJobDepth = 32;

ordered_json time_json(std::int64_t seconds) {
    return seconds == 0 ? ordered_json(nullptr) : ordered_json(seconds);
}

JobState state_named(ObjectReader& reader) {
    const std::string name = reader.text("state");
    const auto found = std::ranges::find(kStateNames, name);
    if (found == kStateNames.end()) reader.fail("state", "is none of a job's");
    return static_cast<JobState>(found - kStateNames.begin());
}

}  // namespace

std::string_view job_state_name(JobState state) {
    return kStateNames.at(static_cast<std::size_t>(state));
}

ordered_json job_summary(const Job& job) {
    return {{"jobId", job.id},
            {"method", job.method},
            {"state", job_state_name(job.state)},
            {"attempts", job.attempts},
            {"exitCode", job.is_over() ? ordered_json(job.exit_code) : ordered_json(nullptr)},
            {"queuedAt", time_json(job.queued_at)},
            {"startedAt", time_json(job.started_at)},
            {"finishedAt", time_json(job.finished_at)}};
}

ordered_json job_details(const Job& job) {
    ordered_json details = job_summary(job);
    details["params"] = job.parameters;
    details["log"] = job.log;
    if (job.state == JobState::kDone) details["result"] = job.result;
    if (job.state == JobState::kFailed) details["error"] = job.error;
    return details;
}

std::string job_to_text(const Job& job) {
    ordered_json file{{"schemaVersion", Job::kSchemaVersion},
                      {"id", job.id},
                      {"method", job.method},
                      {"params", job.parameters},
                      {"state", job_state_name(job.state)},
                      {"progress", job.progress.to_json()},
                      {"attempts", job.attempts},
                      {"exitCode", job.exit_code},
                      {"error", job.error},
                      {"result", job.result},
                      {"log", job.log},
                      {"queuedAt", job.queued_at},
                      {"startedAt", job.started_at},
                      {"finishedAt", job.finished_at}};
    return json_text(file);
}

Job job_from_text(std::string_view text, const std::string& where) {
    const json file = parse_strict_json(text, where, kMaxJobDepth);
    ObjectReader reader(file, where);
    reader.require_schema("schemaVersion", Job::kSchemaVersion);
    Job job;
    job.id = reader.integer("id", 1, kMost);
    job.method = reader.text("method");
    job.parameters = reader.value("params");
    if (!job.parameters.is_object()) reader.fail("params", "is no object");
    job.state = state_named(reader);
    job.progress = MethodState::from_json(reader.value("progress"), where + ": progress");
    job.attempts = static_cast<int>(reader.integer("attempts", 0, 1 << 20));
    job.exit_code = static_cast<int>(reader.integer("exitCode", 0, 255));
    job.error = reader.text("error");
    job.result = reader.value("result");
    const json& log = reader.value("log");
    if (!log.is_array()) reader.fail("log", "is no list");
    for (const json& line : log) job.log.emplace_back(line);
    job.queued_at = reader.integer("queuedAt", 0, kMost);
    job.started_at = reader.integer("startedAt", 0, kMost);
    job.finished_at = reader.integer("finishedAt", 0, kMost);
    reader.finish();
    return job;
}

}  // namespace plasticity
