#include "ipc/dispatcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

#include "core/version.h"
#include "io/printable.h"
#include "ipc/parameters.h"

namespace plasticity {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kProgress = "plasticity/progress";

RpcFailure invalid_params(std::string message) {
    return {.code = kRpcInvalidParams, .message = std::move(message), .data = nullptr};
}

/// What whoever waits for a job is answered once it is over.
std::string line_of_end(const std::optional<json>& id, const Job& job) {
    if (job.state == JobState::kDone) return rpc_result(*id, job.result);
    const ordered_json data{{"jobId", job.id}, {"exitCode", job.exit_code}};
    if (job.state == JobState::kCancelled)
        return rpc_failure(
            id, {.code = kRpcCancelled, .message = fmt::format("job {} was cancelled", job.id), .data = data});
    return rpc_failure(id, {.code = kRpcFailed - job.exit_code, .message = job.error, .data = data});
}

std::string line_of_progress(const std::optional<json>& id, std::int64_t job, const ordered_json& event) {
    ordered_json params{{"jobId", job}};
    if (id) params["id"] = *id;
    params.update(event);
    return rpc_notification(kProgress, params);
}

ordered_json end_event(const Job& job) {
    return {{"event", "finished"}, {"state", job_state_name(job.state)}, {"exitCode", job.exit_code}};
}

ordered_json describe_all() {
    ordered_json list = ordered_json::array();
    for (const Method& method : methods()) list.push_back(describe(method));
    return {{"version", kVersion}, {"methods", std::move(list)}};
}

/// The job that `jobId`, the only parameter, names.
std::variant<Job, RpcFailure> job_of(const JobQueue& queue, const RpcRequest& request) {
    if (request.params.size() != 1 || !request.params.contains("jobId") ||
        !request.params["jobId"].is_number_unsigned())
        return invalid_params(fmt::format("{}: expected jobId, a whole number, and nothing else", request.method));
    const auto id = request.params["jobId"].get<std::uint64_t>();
    std::optional<Job> job = id > INT64_MAX ? std::nullopt : queue.find(static_cast<std::int64_t>(id));
    if (job) return *std::move(job);
    return RpcFailure{.code = kRpcNoSuchJob,
                      .message = fmt::format("there is no job {}; plasticity/jobs lists them", id),
                      .data = nullptr};
}

}  // namespace

void IpcDispatcher::refuse_long_line(ClientChannel& client) const {
    client.answer(rpc_failure(
        std::nullopt, {.code = kRpcInvalidRequest,
                       .message = fmt::format("request: longer than {} bytes; expected less", limits_.request_bytes),
                       .data = nullptr}));
}

void IpcDispatcher::tell(ClientChannel& client, const JobEvent& event) {
    const auto [first, last] = client.waiting.equal_range(event.job.id);
    for (auto request = first; request != last; ++request) {
        const auto& id = request->second;
        const bool is_over = event.progress.is_null();
        if (!is_over) {
            client.note(line_of_progress(id, event.job.id, event.progress));
            continue;
        }
        client.answer(line_of_progress(id, event.job.id, end_event(event.job)));
        if (id) client.answer(line_of_end(id, event.job));
    }
    if (event.progress.is_null()) client.waiting.erase(first, last);
}

void IpcDispatcher::take_line(ClientChannel& client, std::string_view line) {
    const RpcRequest request = parse_rpc_request(line, limits_);
    Answer reply = Later{};
    try {
        reply = request.failure ? Answer(*request.failure) : answer(client, request);
    } catch (const Error& problem) {
        const bool is_request = problem.kind() == ErrorKind::kUsage || problem.kind() == ErrorKind::kMalformed;
        reply = RpcFailure{
            .code = is_request ? kRpcInvalidParams : kRpcInternal, .message = problem.what(), .data = nullptr};
    }
    const bool wants_answer = request.id || request.failure;
    if (const auto* result = std::get_if<ordered_json>(&reply); result != nullptr && wants_answer)
        client.answer(rpc_result(*request.id, *result));
    if (const auto* failure = std::get_if<RpcFailure>(&reply); failure != nullptr && wants_answer)
        client.answer(rpc_failure(request.id, *failure));
}

IpcDispatcher::Answer IpcDispatcher::answer(ClientChannel& client, const RpcRequest& request) {
    if (const Method* method = find_method(request.method)) return add_job(client, request, *method);
    if (request.method == "plasticity/job" || request.method == "plasticity/attach" ||
        request.method == "plasticity/cancel")
        return answer_about(client, request);
    const bool is_known = request.method == "plasticity/jobs" || request.method == "plasticity/methods" ||
                          request.method == "plasticity/shutdown";
    if (!is_known)
        return RpcFailure{
            .code = kRpcMethodNotFound,
            .message = fmt::format("{} is no method; plasticity/methods lists them", printable(request.method)),
            .data = nullptr};
    if (!request.params.empty()) return invalid_params(fmt::format("{}: takes no parameters", request.method));
    if (request.method == "plasticity/methods") return describe_all();
    if (request.method == "plasticity/jobs") return ordered_json{{"jobs", queue_.summaries()}};
    shutting_down_ = true;
    return ordered_json::object();
}

IpcDispatcher::Answer IpcDispatcher::answer_about(ClientChannel& client, const RpcRequest& request) {
    const auto found = job_of(queue_, request);
    if (const auto* failure = std::get_if<RpcFailure>(&found)) return *failure;
    const Job& job = std::get<Job>(found);
    if (request.method == "plasticity/job") return job_details(job);
    if (request.method == "plasticity/attach") return attach(client, request, job);
    return ordered_json{{"jobId", job.id}, {"cancelled", queue_.cancel(job.id)}};
}

IpcDispatcher::Answer IpcDispatcher::add_job(ClientChannel& client, const RpcRequest& request, const Method& method) {
    if (client.waiting.size() >= limits_.waiting)
        return RpcFailure{
            .code = kRpcQueueFull,
            .message = fmt::format("{} requests of this connection wait; expected fewer at once", limits_.waiting),
            .data = nullptr};
    const json parameters = check_parameters(method, request.params, {});
    if (parameters.value("allowShell", false) && !allow_shell_)
        return invalid_params(
            fmt::format("{}: allowShell: this server was started without --allow-shell", method.name));
    method.steps(parameters);  // says now what would only be said when the job begins
    const std::optional<std::int64_t> id = queue_.add(request.method, parameters);
    if (!id)
        return RpcFailure{.code = kRpcQueueFull,
                          .message = fmt::format("{} jobs wait; try again when some are over", limits_.queued_jobs),
                          .data = nullptr};
    client.waiting.emplace(*id, request.id);
    client.answer(line_of_progress(request.id, *id, {{"event", "queued"}}));
    return Later{};
}

IpcDispatcher::Answer IpcDispatcher::attach(ClientChannel& client, const RpcRequest& request, const Job& job) const {
    if (!job.is_over() && client.waiting.size() < limits_.waiting) {
        client.waiting.emplace(job.id, request.id);
        return Later{};
    }
    if (!job.is_over())
        return RpcFailure{
            .code = kRpcQueueFull, .message = "too many requests of this connection wait", .data = nullptr};
    client.answer(line_of_progress(request.id, job.id, end_event(job)));
    if (request.id) client.answer(line_of_end(request.id, job));
    return Later{};
}

}  // namespace plasticity
