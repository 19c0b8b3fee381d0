// What each family's file reads, writes and refuses. What its graph computes is compared in tests/engine.

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "model/family.h"
#include "support/expect_error.h"
#include "support/reference_model.h"

namespace plasticity {
namespace {

using nlohmann::json;

json config_of(const std::string& family, const json& changes = json::object()) {
    json config = test::load_reference(family).config;
    config.update(changes);
    return config;
}

void expect_refused(const json& config, const std::string& reason) {
    test::expect_error(ErrorKind::kMalformed, {reason}, [&] { architecture_from_config(config); });
}

class EveryFamily : public testing::TestWithParam<const char*> {};

TEST_P(EveryFamily, IsReadBackFromTheKeysThatItWrites) {
    const Architecture there = architecture_from_config(config_of(GetParam()));
    GgufMetadata metadata;
    metadata.set("general.architecture", there.name);
    write_architecture(there, metadata);
    const Architecture back = architecture_from_gguf(metadata, !there.tied_embeddings);
    EXPECT_EQ(back.layers, there.layers);
    EXPECT_EQ(back.features, there.features);
    EXPECT_EQ(back.multipliers, there.multipliers);
    EXPECT_EQ(back.attention_scale, there.attention_scale);
    EXPECT_EQ(back.context_length, there.context_length);
    EXPECT_EQ(back.rope_freq_base, there.rope_freq_base);
    EXPECT_EQ(back.window.n_tokens, there.window.n_tokens);
    EXPECT_EQ(back.experts.count, there.experts.count);
    for (std::int32_t layer = 0; layer < there.n_layer(); ++layer) {
        EXPECT_EQ(back.slides(layer), there.slides(layer));
        EXPECT_EQ(back.rotates(layer), there.rotates(layer));
    }
}

TEST_P(EveryFamily, RefusesAnActivationThatItDoesNotHave) {
    const std::string key = config_of(GetParam()).contains("hidden_activation") ? "hidden_activation" : "hidden_act";
    expect_refused(config_of(GetParam(), {{key, "relu2"}}), "relu2");
}

INSTANTIATE_TEST_SUITE_P(Reference, EveryFamily,
                         testing::Values("llama", "mistral", "qwen2", "qwen3", "granite", "smollm3", "gemma3", "phi3",
                                         "qwen3moe"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(Families, UnknownOnesAreNamedWithTheKnown) {
    expect_refused({{"model_type", "mamba"}},
                   "\"mamba\"; this program knows gemma3_text, granite, llama, mistral, phi3, qwen2, qwen3, "
                   "qwen3_moe, smollm3 in Hugging Face folders");
}

TEST(Families, WhatStockCannotSayIsRefused) {
    const std::vector<std::tuple<const char*, json, const char*>> cases{
        {"smollm3", {{"no_rope_layers", {1, 1, 0, 1}}}, "no_rope_layers: got 0 for block 2"},
        {"smollm3", {{"no_rope_layers", {1, 1}}}, "no_rope_layers: got 2 entries"},
        {"gemma3", {{"query_pre_attn_scalar", 168}}, "query_pre_attn_scalar: got 168"},
        {"gemma3", {{"final_logit_softcapping", 30.0}}, "final_logit_softcapping"},
        {"gemma3", {{"layer_types", {"full_attention"}}}, "layer_types: got \"full_attention\" for block 0"},
        {"gemma3", {{"use_bidirectional_attention", true}}, "use_bidirectional_attention"},
        {"phi3", {{"partial_rotary_factor", 0.75}, {"rope_parameters", nullptr}}, "partial_rotary_factor: got 0.75"},
        {"phi3", {{"rope_parameters", {{"rope_type", "longrope"}, {"long_factor", {1.0}}}}}, "\"longrope\""},
        {"qwen3", {{"use_sliding_window", true}}, "use_sliding_window"},
        {"qwen3moe", {{"norm_topk_prob", false}}, "norm_topk_prob"},
        {"qwen3moe", {{"mlp_only_layers", {0}}}, "mlp_only_layers"},
        {"qwen3moe", {{"decoder_sparse_step", 2}}, "decoder_sparse_step: got 2"},
        {"qwen3moe", {{"num_experts_per_tok", 9}}, "experts for each token: got 9"},
        {"granite", {{"logits_scaling", 0.0}}, "logit divisor: got 0"},
    };
    for (const auto& [family, changes, expected] : cases) expect_refused(config_of(family, changes), expected);
}

TEST(Families, AWindowThatStockDoesNotKnowBoundsTheContext) {
    EXPECT_EQ(architecture_from_config(config_of("mistral", {{"sliding_window", 64}})).context_length, 64);
    EXPECT_EQ(architecture_from_config(config_of("mistral", {{"sliding_window", 4096}})).context_length, 128);
    EXPECT_EQ(architecture_from_config(config_of("phi3", {{"sliding_window", 32}})).context_length, 32);
}

TEST(Families, Gemma3OfTwentySevenBillionScalesByItsWidth) {
    json config = config_of("gemma3", {{"num_hidden_layers", 62}, {"hidden_size", 48}, {"query_pre_attn_scalar", 12}});
    config.erase("layer_types");
    const Architecture architecture = architecture_from_config(config);
    EXPECT_FLOAT_EQ(architecture.attention_scale, 1.0f / std::sqrt(12.0f));
    EXPECT_FLOAT_EQ(architecture.multipliers.embedding, std::sqrt(48.0f));
    EXPECT_EQ(config_from_architecture(architecture)["query_pre_attn_scalar"], 12);
}

}  // namespace
}  // namespace plasticity
