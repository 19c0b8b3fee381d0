#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <variant>

#include "ipc/client_channel.h"
#include "ipc/job_queue.h"
#include "ipc/limits.h"
#include "ipc/rpc_message.h"

namespace plasticity {

/// What each request of a client means: a job for the queue, or a question about jobs. Knows no sockets.
class IpcDispatcher {
public:
    /// All must outlive it. @param allow_shell  pipelines may have steps of type Shell
    IpcDispatcher(JobQueue& queue, const IpcLimits& limits, bool allow_shell)
        : queue_(queue), limits_(limits), allow_shell_(allow_shell) {}

    void take_line(ClientChannel& client, std::string_view line);
    void refuse_long_line(ClientChannel& client) const;
    /// Passes on what has become of a job, where this client waits for it.
    static void tell(ClientChannel& client, const JobEvent& event);
    /// A client has asked for the end.
    bool is_shutting_down() const { return shutting_down_; }

private:
    struct Later {};  ///< the answer comes when the job is over
    using Answer = std::variant<Later, nlohmann::ordered_json, RpcFailure>;

    Answer answer(ClientChannel& client, const RpcRequest& request);
    Answer answer_about(ClientChannel& client, const RpcRequest& request);
    Answer add_job(ClientChannel& client, const RpcRequest& request, const Method& method);
    Answer attach(ClientChannel& client, const RpcRequest& request, const Job& job) const;

    JobQueue& queue_;
    const IpcLimits& limits_;
    bool allow_shell_;
    bool shutting_down_ = false;
};

}  // namespace plasticity
