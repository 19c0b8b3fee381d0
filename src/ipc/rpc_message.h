#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "ipc/limits.h"

namespace plasticity {

/// Codes of JSON-RPC 2.0, then this program's own.
enum RpcCode : int {
    kRpcParseError = -32700,
    kRpcInvalidRequest = -32600,
    kRpcMethodNotFound = -32601,
    kRpcInvalidParams = -32602,
    kRpcInternal = -32603,
    kRpcFailed = -32000,     ///< minus the exit code of the command that failed: -32003, an input is missing
    kRpcQueueFull = -32010,  ///< too many jobs, or requests of one connection, wait
    kRpcNoSuchJob = -32011,
    kRpcCancelled = -32800,  ///< as the Language Server Protocol has it
};

struct RpcFailure {
    int code = kRpcInternal;
    std::string message;
    nlohmann::ordered_json data;  ///< null: none
};

/// One line from a client.
struct RpcRequest {
    std::optional<nlohmann::json> id;  ///< text or whole number; nothing for notifications
    std::string method;
    nlohmann::json params = nlohmann::json::object();
    std::optional<RpcFailure> failure;  ///< it is no request: answer with this, under `id` or null
};

/// JSON-RPC 2.0: one object a line, with jsonrpc, method, params by name, and id unless it wants no answer. Batches are
/// refused: whoever wants several jobs sends several lines.
RpcRequest parse_rpc_request(std::string_view line, const IpcLimits& limits);

// Whole lines, with their end. Bytes that are no UTF-8 become U+FFFD.
std::string rpc_result(const nlohmann::json& id, const nlohmann::ordered_json& result);
std::string rpc_failure(const std::optional<nlohmann::json>& id, const RpcFailure& failure);
std::string rpc_notification(std::string_view method, const nlohmann::ordered_json& params);

}  // namespace plasticity
