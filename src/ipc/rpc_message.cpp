#include "ipc/rpc_message.h"

#include <fmt/format.h>

#include <cstdint>

#include "artifact/json_text.h"
#include "io/printable.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

RpcFailure invalid(std::string message) {
    return {.code = kRpcInvalidRequest, .message = "request: " + std::move(message), .data = nullptr};
}

bool is_id(const json& id, const IpcLimits& limits) {
    if (id.is_string()) return id.get_ref<const std::string&>().size() <= limits.id_bytes;
    return id.is_number_integer();
}

/// What is wrong with the form of a request; nothing where it is one.
std::optional<RpcFailure> find_fault(const json& request, const IpcLimits& limits) {
    if (request.is_array()) return invalid("batches are not taken; send each request as a line of its own");
    if (!request.is_object()) return invalid(fmt::format("is a {}; expected an object", request.type_name()));
    for (const auto& [key, value] : request.items())
        if (key != "jsonrpc" && key != "id" && key != "method" && key != "params")
            return invalid(fmt::format("{} is no part of one", printable(key)));
    if (!request.contains("jsonrpc") || request["jsonrpc"] != "2.0") return invalid("jsonrpc is not \"2.0\"");
    if (request.contains("id") && !is_id(request["id"], limits))
        return invalid(fmt::format("id is neither a whole number nor text of {} bytes at most", limits.id_bytes));
    if (!request.contains("method") || !request["method"].is_string()) return invalid("method is no text");
    if (request.contains("params") && !request["params"].is_object())
        return invalid("params is no object; expected parameters by name");
    return std::nullopt;
}

ordered_json envelope() {
    return {{"jsonrpc", "2.0"}};
}

}  // namespace

RpcRequest parse_rpc_request(std::string_view line, const IpcLimits& limits) {
    RpcRequest request;
    json parsed;
    try {
        parsed = parse_strict_json(line, "request", limits.json_depth);
    } catch (const Error& problem) {
        request.failure = RpcFailure{.code = kRpcParseError, .message = problem.what(), .data = nullptr};
        return request;
    }
    request.failure = find_fault(parsed, limits);
    if (parsed.is_object() && parsed.contains("id") && is_id(parsed["id"], limits)) request.id = parsed["id"];
    if (request.failure) return request;
    request.method = parsed["method"].get<std::string>();
    if (parsed.contains("params")) request.params = std::move(parsed["params"]);
    return request;
}

std::string rpc_result(const json& id, const ordered_json& result) {
    ordered_json line = envelope();
    line["id"] = id;
    line["result"] = result;
    return json_line(line) + "\n";
}

std::string rpc_failure(const std::optional<json>& id, const RpcFailure& failure) {
    ordered_json line = envelope();
    line["id"] = id ? ordered_json(*id) : ordered_json(nullptr);
    line["error"] = {{"code", failure.code}, {"message", failure.message}};
    if (!failure.data.is_null()) line["error"]["data"] = failure.data;
    return json_line(line) + "\n";
}

std::string rpc_notification(std::string_view method, const ordered_json& params) {
    ordered_json line = envelope();
    line["method"] = method;
    line["params"] = params;
    return json_line(line) + "\n";
}

}  // namespace plasticity
