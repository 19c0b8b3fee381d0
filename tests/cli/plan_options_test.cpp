#include "cli/plan_options.h"

#include <gtest/gtest.h>

#include <functional>

#include "core/error.h"

namespace plasticity {
namespace {

using Kind = PruneRequest::Kind;

void expect_usage_error(const std::function<void()>& action, std::string_view reason) {
    try {
        action();
        ADD_FAILURE() << "accepted; expected: " << reason;
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kUsage);
        EXPECT_NE(std::string_view(error.what()).find(reason), std::string_view::npos) << error.what();
    }
}

TEST(ParsePrune, KnowsItsForms) {
    EXPECT_EQ(parse_prune("auto").kind, Kind::kAuto);
    EXPECT_EQ(parse_prune("off").kind, Kind::kOff);
    EXPECT_EQ(parse_prune("kv-groups=3").kind, Kind::kKvGroups);
    EXPECT_EQ(parse_prune("kv-groups=3").amount, 3);
    EXPECT_EQ(parse_prune("heads=0.25").kind, Kind::kHeads);
    EXPECT_EQ(parse_prune("heads=0.25").amount, 0.25);
    EXPECT_EQ(parse_prune("heads=0.25").channel_share, 0);
    EXPECT_EQ(parse_prune("ffn=0.1").kind, Kind::kOff);
    EXPECT_EQ(parse_prune("ffn=0.1").channel_share, 0.1);
    for (const char* both : {"kv-groups=1,ffn=0.1", "ffn=0.1,kv-groups=1"}) {
        EXPECT_EQ(parse_prune(both).kind, Kind::kKvGroups) << both;
        EXPECT_EQ(parse_prune(both).amount, 1) << both;
        EXPECT_EQ(parse_prune(both).channel_share, 0.1) << both;
    }
}

TEST(ParsePrune, RefusesTheRest) {
    for (const char* text : {"",
                             "Auto",
                             "on",
                             "heads",
                             "heads=",
                             "heads=-0.1",
                             "heads=0.2x",
                             "heads=nan",
                             "kv-groups=",
                             "kv-groups=two",
                             "ffn",
                             "ffn=",
                             "ffn=-1",
                             "heads= 0.2",
                             "auto,ffn=0.1",
                             "off,ffn=0.1",
                             "heads=0.1,kv-groups=1",
                             "heads=0.1,ffn=0",
                             "ffn=0.1,ffn=0.1",
                             "heads=0.1,",
                             "heads=0.1,ffn=0.1,ffn=0.1"})
        expect_usage_error([&] { parse_prune(text); }, std::string("--prune ") + text);
}

TEST(PlanArguments, ExactlyOneBudget) {
    PlanArguments arguments;
    expect_usage_error([&] { arguments.resolve(); }, "0 budgets given");
    arguments.options.device = "16gb";
    EXPECT_EQ(arguments.resolve().device, "16gb");
    arguments.target_size = "1GB";
    expect_usage_error([&] { arguments.resolve(); }, "2 budgets given");
    arguments.options.target_bits_per_weight = 4;
    expect_usage_error([&] { arguments.resolve(); }, "3 budgets given");
}

TEST(PlanArguments, SizesHaveUnits) {
    PlanArguments arguments;
    arguments.target_size = "12.9GB";
    EXPECT_EQ(arguments.resolve().target_bytes, 12'900'000'000u);
    arguments.target_size = "1GiB";
    EXPECT_EQ(arguments.resolve().target_bytes, 1u << 30);
    arguments.target_size = "much";
    expect_usage_error([&] { arguments.resolve(); }, "much");
}

TEST(PlanArguments, TensorTypesSplitAtTheLastEqualsSign) {
    PlanArguments arguments;
    arguments.target_size = "1GB";
    arguments.tensor_types = {".*=F16", "a=b=q4_K"};
    const auto types = arguments.resolve().tensor_types;
    ASSERT_EQ(types.size(), 2u);
    EXPECT_EQ(types[0], (std::pair<std::string, std::string>(".*", "F16")));
    EXPECT_EQ(types[1], (std::pair<std::string, std::string>("a=b", "q4_K")));
    for (const char* bad : {"F16", "=F16"}) {
        arguments.tensor_types = {bad};
        expect_usage_error([&] { arguments.resolve(); }, "expected REGEX=TYPE");
    }
}

}  // namespace
}  // namespace plasticity
