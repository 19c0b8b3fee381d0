#include "ipc/rpc_message.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace plasticity {
namespace {

const IpcLimits kLimits;

RpcRequest parsed(std::string_view line) {
    return parse_rpc_request(line, kLimits);
}

int code_of(std::string_view line) {
    const RpcRequest request = parsed(line);
    return request.failure ? request.failure->code : 0;
}

TEST(RpcRequestParsing, TakesRequestsAndNotifications) {
    const RpcRequest request = parsed(R"({"jsonrpc":"2.0","id":7,"method":"a","params":{"b":1}})");
    EXPECT_FALSE(request.failure);
    EXPECT_EQ(request.id, nlohmann::json(7));
    EXPECT_EQ(request.method, "a");
    EXPECT_EQ(request.params, nlohmann::json::parse(R"({"b":1})"));
    EXPECT_EQ(parsed(R"({"jsonrpc":"2.0","id":"x","method":"a"})").id, nlohmann::json("x"));
    EXPECT_FALSE(parsed(R"({"jsonrpc":"2.0","method":"a"})").id);
}

TEST(RpcRequestParsing, RefusesWhatIsNoJson) {
    for (const char* line : {"", "{", "nonsense", "{} {}", "{\"a\":\xff}", R"({"id":1,"id":2})", "\"\\ud800\""})
        EXPECT_EQ(code_of(line), kRpcParseError) << line;
}

TEST(RpcRequestParsing, RefusesWhatIsNoRequest) {
    for (const char* line :
         {"1", "null", "[]", R"([{"jsonrpc":"2.0","id":1,"method":"a"}])", R"({"id":1,"method":"a"})",
          R"({"jsonrpc":"1.0","id":1,"method":"a"})", R"({"jsonrpc":"2.0","id":1})",
          R"({"jsonrpc":"2.0","id":1,"method":5})", R"({"jsonrpc":"2.0","id":null,"method":"a"})",
          R"({"jsonrpc":"2.0","id":1.5,"method":"a"})", R"({"jsonrpc":"2.0","id":{},"method":"a"})",
          R"({"jsonrpc":"2.0","id":1,"method":"a","params":[1]})", R"({"jsonrpc":"2.0","id":1,"method":"a","more":1})"})
        EXPECT_EQ(code_of(line), kRpcInvalidRequest) << line;
    EXPECT_EQ(code_of(R"({"jsonrpc":"2.0","id":")" + std::string(257, 'x') + R"(","method":"a"})"), kRpcInvalidRequest);
}

TEST(RpcRequestParsing, AnswersUnderTheIdOfABadRequest) {
    EXPECT_EQ(parsed(R"({"jsonrpc":"2.0","id":3})").id, nlohmann::json(3));
}

TEST(RpcRequestParsing, BoundsDepth) {
    const auto nested = [](std::size_t levels) {
        return R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"x":)" + std::string(levels, '[') +
               std::string(levels, ']') + "}}";
    };
    EXPECT_EQ(code_of(nested(10)), 0);
    EXPECT_EQ(code_of(nested(20)), kRpcParseError);
    EXPECT_EQ(code_of(std::string(1 << 20, '[')), kRpcParseError);
}

TEST(RpcAnswers, AreOneLineEach) {
    EXPECT_EQ(rpc_result(1, {{"a", "x\ny"}}), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":\"x\\ny\"}}\n");
    EXPECT_EQ(rpc_failure(std::nullopt, {.code = kRpcParseError, .message = "m", .data = nullptr}),
              "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"m\"}}\n");
    EXPECT_EQ(rpc_notification("n", {{"a", "\xff"}}),
              "{\"jsonrpc\":\"2.0\",\"method\":\"n\",\"params\":{\"a\":\"\xef\xbf\xbd\"}}\n");
}

}  // namespace
}  // namespace plasticity
