#include "artifact/lora_adapter.h"

#include <gtest/gtest.h>

#include "artifact/lora_rows.h"
#include "core/error.h"
#include "support/random_adapter.h"

namespace plasticity {
namespace {

using R = TensorRole;

TEST(LoraTargets, AreReadInAnyOrderAndNamedAsHuggingFaceDoes) {
    EXPECT_EQ(parse_lora_targets("v,q"), (std::vector<R>{R::kQuery, R::kValue}));
    EXPECT_EQ(parse_lora_targets("down,up,gate,o,v,k,q").size(), 7u);
    for (const char* text : {"", "q,", ",q", "q k", "qkv"}) {
        try {
            parse_lora_targets(text);
            ADD_FAILURE() << "accepted " << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kUsage);
        }
    }
    EXPECT_EQ(lora_module_name(R::kQuery), "q_proj");
    EXPECT_EQ(lora_module_name(R::kAttentionOutput), "o_proj");
    EXPECT_EQ(lora_module_name(R::kDown), "down_proj");
}

TEST(LoraAdapterShape, FollowsTheGeometryOfEveryBlock) {
    const Architecture architecture =
        test::tiny_architecture({.architecture = "deci", .layers = {{4, 2, 48}, {0, 0, 32}, {2, 1, 64}}});
    const LoraAdapter adapter = empty_adapter(architecture, lora_roles(), 3, 6);
    EXPECT_EQ(adapter.scale(), 2);
    EXPECT_EQ(adapter.of_layer(0).size(), 7u);
    EXPECT_EQ(adapter.of_layer(1).size(), 3u);  // no attention
    EXPECT_EQ(adapter.of_layer(2).size(), 7u);
    const LoraMatrix& key = *adapter.find({R::kKey, 2});
    EXPECT_EQ(key.rows, 8);
    EXPECT_EQ(key.cols, 32);
    EXPECT_EQ(key.a.size(), 3u * 32);
    EXPECT_EQ(key.b.size(), 8u * 3);
    EXPECT_EQ(adapter.find({R::kAttentionOutput, 2})->cols, 16);
    EXPECT_EQ(adapter.find({R::kDown, 1})->cols, 32);
    EXPECT_EQ(adapter.find({R::kQuery, 1}), nullptr);
    EXPECT_EQ(adapter.find({R::kQuery, 7}), nullptr);
}

TEST(LoraAdapterHash, SeesScaleAndValues) {
    const Architecture architecture = test::tiny_architecture();
    LoraAdapter adapter = test::random_adapter(architecture);
    const std::string hash = adapter.sha256();
    EXPECT_EQ(test::random_adapter(architecture).sha256(), hash);
    adapter.alpha = 7;
    EXPECT_NE(adapter.sha256(), hash);
    adapter.alpha = 6;
    adapter.matrices.back().b.back() += 1;
    EXPECT_NE(adapter.sha256(), hash);
}

TEST(LoraRows, FollowTheRowsOfQueriesAndKeys) {
    const Architecture architecture = test::tiny_architecture();
    const LoraAdapter adapter = test::random_adapter(architecture);
    const LoraAdapter moved = in_rope_layout(adapter, architecture, RopeLayout::kNorm, RopeLayout::kNeox);
    const LoraMatrix &before = adapter.matrices.front(), &after = moved.matrices.front();
    ASSERT_EQ(before.id.role, R::kQuery);
    // NORM a0 b0 a1 b1 … becomes NEOX a0 a1 … b0 b1 …: row 1 of a head of eight was row 2, row 4 was row 1.
    for (const auto& [to, from] : {std::pair{0, 0}, {1, 2}, {4, 1}, {9, 10}, {12, 9}})
        for (int k = 0; k < 3; ++k)
            EXPECT_EQ(after.b[static_cast<std::size_t>(to * 3 + k)], before.b[static_cast<std::size_t>(from * 3 + k)]);
    EXPECT_EQ(after.a, before.a);
    EXPECT_EQ(moved.find({R::kValue, 0})->b, adapter.find({R::kValue, 0})->b);
    EXPECT_EQ(in_rope_layout(moved, architecture, RopeLayout::kNeox, RopeLayout::kNorm).sha256(), adapter.sha256());
}

}  // namespace
}  // namespace plasticity
