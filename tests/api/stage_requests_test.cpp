#include "api/stage_requests.h"

#include <gtest/gtest.h>

#include <string>

#include "support/expect_error.h"

namespace plasticity {
namespace {

TEST(StageRequests, KeysAreTheCommandLinesNames) {
    const ScoreRequest request = read_score_request(
        R"({"model": "m.gguf", "data": ["a.txt", "b.txt"], "output": "g.json", "tokens": 1000, "memory": "4GB",
            "lora-targets": "q,v", "gpu-layers": 3, "force": true})");
    EXPECT_EQ(request.options.model, "m.gguf");
    ASSERT_EQ(request.options.data.size(), 2U);
    EXPECT_EQ(request.options.max_tokens, 1000);
    EXPECT_EQ(request.options.memory_bytes, 4'000'000'000U);
    ASSERT_TRUE(request.options.fine_tune);
    EXPECT_EQ(request.options.fine_tune->targets, "q,v");
    EXPECT_EQ(request.options.backend.gpu_layers, 3);
    EXPECT_TRUE(request.options.overwrite);
    EXPECT_EQ(request.options.checkpoint, "g.json.checkpoint");
}

TEST(StageRequests, WhatIsNotThereKeepsItsDefault) {
    const InferOptions options = read_infer_request(R"({"model": "m.gguf", "prompt": "", "temp": 0, "seed": null})");
    EXPECT_EQ(options.max_tokens, InferOptions{}.max_tokens);
    EXPECT_EQ(options.sampler.temperature, 0.0F);
    EXPECT_EQ(options.sampler.top_k, SamplerOptions{}.top_k);
    EXPECT_FALSE(read_score_request(R"({"model": "m", "data": "d", "output": "o"})").options.fine_tune);
}

TEST(StageRequests, PlanTakesExactlyOneBudget) {
    const std::string files = R"({"model": "m", "scores": "s")";
    EXPECT_EQ(read_plan_request(files + R"(, "target-size": 1000})").options.target_bytes, 1000U);
    EXPECT_EQ(read_plan_request(files + R"(, "device": "16gb", "prune": "kv-groups=1"})").options.prune.amount, 1);
    for (const char* budgets : {"}", R"(, "device": "16gb", "target-bpw": 4})"})
        test::expect_error(ErrorKind::kUsage, {"exactly one of device"}, [&] { read_plan_request(files + budgets); });
}

struct BadRequest {
    const char* name;
    const char* json;
    const char* message;
};

const BadRequest kBadRequests[]{
    {"NotJson", "{", "compress: options"},
    {"NoObject", "[]", "no JSON object"},
    {"TwiceTheKey", R"({"model": "a", "model": "b"})", "model"},
    {"UnknownKey", R"({"model": "a", "recipe": "r", "output": "o", "modell": 1})", "\"modell\""},
    {"ModelMissing", R"({"recipe": "r", "output": "o"})", "\"model\": got nothing; expected a path"},
    {"ModelIsANumber", R"({"model": 1})", "\"model\": got 1"},
    {"PathWithNul", R"({"model": "a\u0000b"})", "\"model\""},
    {"ThreadsBelowZero", R"({"model": "a", "recipe": "r", "output": "o", "threads": -1})", "0 to 1024"},
    {"ThreadsBeyondInt64", R"({"model": "a", "recipe": "r", "output": "o", "threads": 18446744073709551615})",
     "0 to 1024"},
    {"BytesBelowZero", R"({"model": "a", "recipe": "r", "output": "o", "gram-memory": -1})", "gram-memory"},
    {"FlagIsAText", R"({"model": "a", "recipe": "r", "output": "o", "force": "yes"})", "true or false"},
};

class StageRequestsRefused : public testing::TestWithParam<BadRequest> {};

TEST_P(StageRequestsRefused, AsAUsageError) {
    test::expect_error(ErrorKind::kUsage, {GetParam().message}, [] { read_compress_request(GetParam().json); });
}

INSTANTIATE_TEST_SUITE_P(All, StageRequestsRefused, testing::ValuesIn(kBadRequests),
                         [](const auto& request) { return request.param.name; });

}  // namespace
}  // namespace plasticity
