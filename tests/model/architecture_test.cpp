#include "model/architecture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "support/expect_error.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

using nlohmann::json;

json tiny_config() {
    return {{"model_type", "llama"},    {"hidden_size", 64},          {"num_hidden_layers", 3},
            {"num_attention_heads", 4}, {"num_key_value_heads", 2},   {"intermediate_size", 96},
            {"vocab_size", 300},        {"rms_norm_eps", 1e-05},      {"max_position_embeddings", 4096},
            {"rope_theta", 500000.0},   {"tie_word_embeddings", true}};
}

json with(json config, const json& changes) {
    config.update(changes);
    return config;
}

void expect_refused(const json& config, const std::vector<std::string>& reasons) {
    SCOPED_TRACE(config.dump());
    test::expect_error(ErrorKind::kMalformed, reasons, [&] { architecture_from_config(config); });
}

GgufMetadata metadata_of(const Architecture& architecture) {
    GgufMetadata metadata;
    metadata.set("general.architecture", architecture.name);
    metadata.set("general.name", architecture.model_name);
    write_architecture(architecture, metadata);
    return metadata;
}

TEST(ArchitectureFromConfig, ReadsGeometry) {
    const Architecture architecture = architecture_from_config(tiny_config());
    EXPECT_EQ(architecture.name, "llama");
    EXPECT_EQ(architecture.n_layer(), 3);
    EXPECT_EQ(architecture.layers[2], (LayerGeometry{4, 2, 96}));
    EXPECT_EQ(architecture.head_dim, 16);
    EXPECT_EQ(architecture.n_vocab, 300);
    EXPECT_EQ(architecture.context_length, 4096);
    EXPECT_FLOAT_EQ(architecture.rope_freq_base, 500000.0f);
    EXPECT_EQ(architecture.rope_layout, RopeLayout::kNeox);
    EXPECT_TRUE(architecture.tied_embeddings);
}

TEST(ArchitectureFromConfig, TakesHeadDimFromItsFieldAndNullAsAbsent) {
    EXPECT_EQ(architecture_from_config(with(tiny_config(), {{"head_dim", 32}})).head_dim, 32);
    EXPECT_EQ(architecture_from_config(with(tiny_config(), {{"head_dim", nullptr}})).head_dim, 16);
    const json without_kv = with(tiny_config(), {{"num_key_value_heads", nullptr}});
    EXPECT_EQ(architecture_from_config(without_kv).layers[0].n_head_kv, 4);
}

TEST(ArchitectureFromConfig, ReadsRopeOfTransformers4And5) {
    json old_style = with(tiny_config(), {{"rope_scaling", {{"type", "linear"}, {"factor", 4.0}}}});
    json new_style = tiny_config();
    new_style.erase("rope_theta");
    new_style["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 4.0}, {"rope_theta", 500000.0}};
    for (const json& config : {old_style, new_style}) {
        const Architecture architecture = architecture_from_config(config);
        EXPECT_EQ(architecture.rope_scaling.kind, RopeScaling::Kind::kLinear);
        EXPECT_EQ(architecture.rope_scaling.factor, 4.0f);
        EXPECT_FLOAT_EQ(architecture.rope_freq_base, 500000.0f);
    }
}

// transformers multiplies by attention_factor, ggml by attn_factor · (1 + 0.1 ln factor).
TEST(ArchitectureFromConfig, TurnsYarnsAttentionFactorIntoGgmls) {
    json rope{{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 1024}};
    RopeScaling scaling = architecture_from_config(with(tiny_config(), {{"rope_scaling", rope}})).rope_scaling;
    EXPECT_EQ(scaling.kind, RopeScaling::Kind::kYarn);
    EXPECT_EQ(scaling.original_context_length, 1024);
    EXPECT_EQ(scaling.attention_factor, 1.0f);

    rope["attention_factor"] = 1.5;
    scaling = architecture_from_config(with(tiny_config(), {{"rope_scaling", rope}})).rope_scaling;
    EXPECT_NEAR(scaling.attention_factor * (1 + 0.1 * std::log(4.0)), 1.5, 1e-6);
}

TEST(ArchitectureFromConfig, NamesEveryProblem) {
    expect_refused(with(tiny_config(), {{"hidden_size", "wide"}, {"rms_norm_eps", "tiny"}, {"vocab_size", nullptr}}),
                   {"hidden_size: got \"wide\"; expected an integer", "rms_norm_eps: got \"tiny\"; expected a number",
                    "vocab_size: absent"});
    expect_refused(with(tiny_config(), {{"num_key_value_heads", 3}}), {"got 4 query heads"});
}

TEST(ArchitectureFromConfig, RefusesWhatItCannotRun) {
    const std::vector<std::pair<json, const char*>> cases{
        {{{"model_type", "mamba"}}, "\"mamba\""},
        {{{"model_type", 7}}, "model_type: got 7"},
        {{{"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2.0}}}}, "\"dynamic\""},
        {{{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}, {"beta_fast", 16}}}}, "beta_fast"},
        {{{"rope_scaling", 3}}, "rope_scaling: got 3"},
        {{{"hidden_act", "gelu"}}, "\"gelu\""},
        {{{"use_sliding_window", true}}, "sliding windows"},
        {{{"quantization_config", {{"quant_method", "awq"}}}}, "awq"},
        {{{"partial_rotary_factor", 0.5}}, "partial_rotary_factor"},
        {{{"num_hidden_layers", 0}}, "num_hidden_layers: got 0"},
        {{{"num_hidden_layers", 100000}}, "expected 1 to 512"},
        {{{"num_hidden_layers", 1e30}}, "num_hidden_layers"},
        {{{"num_attention_heads", 0}}, "num_attention_heads"},
        {{{"num_attention_heads", -4}}, "query heads: got -4"},
        {{{"vocab_size", 18446744073709551615u}}, "vocab_size: got 18446744073709551615"},
        {{{"intermediate_size", 0}}, "feed-forward width: got 0"},
        {{{"hidden_size", 66}}, "a multiple of num_attention_heads 4"},
        {{{"rms_norm_eps", -1e-5}}, "epsilon"},
        {{{"rope_theta", 0}}, "frequency base"},
        {{{"tie_word_embeddings", "yes"}}, "tie_word_embeddings"},
        {{{"layer_types", {"full_attention", "sliding_attention"}}}, "layer_types"},
    };
    for (const auto& [changes, expected] : cases) {
        // A field of no heads is reported through what follows from it.
        const std::string wanted = std::string(expected) == "num_attention_heads" ? "head" : expected;
        expect_refused(with(tiny_config(), changes), {wanted});
    }
    EXPECT_THROW(architecture_from_config(json::array()), Error);
    EXPECT_THROW(architecture_from_config(json::object()), Error);
}

TEST(ConfigFromArchitecture, IsReadBackTheSame) {
    json yarn = with(tiny_config(), {{"rope_scaling",
                                      {{"rope_type", "yarn"},
                                       {"factor", 4.0},
                                       {"attention_factor", 1.5},
                                       {"original_max_position_embeddings", 1024}}}});
    for (const json& config : {tiny_config(), with(tiny_config(), {{"model_type", "qwen2"}}), yarn}) {
        const Architecture there = architecture_from_config(config);
        const Architecture back = architecture_from_config(config_from_architecture(there));
        EXPECT_EQ(metadata_of(back).entries(), metadata_of(there).entries());
        EXPECT_EQ(back.tied_embeddings, there.tied_embeddings);
    }
}

TEST(ConfigFromArchitecture, WritesShortNumbers) {
    const json config = config_from_architecture(architecture_from_config(tiny_config()));
    EXPECT_EQ(config["rms_norm_eps"].dump(), "1e-05");
    EXPECT_EQ(config["rope_theta"].dump(), "500000.0");
}

TEST(ConfigFromArchitecture, RefusesGeometryThatDiffers) {
    const Architecture architecture =
        test::tiny_architecture({.architecture = "deci", .layers = {{4, 2, 48}, {2, 1, 48}}});
    try {
        config_from_architecture(architecture);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    }
}

TEST(WriteArchitecture, IsReadBackTheSame) {
    Architecture scaled = test::tiny_architecture();
    scaled.rope_scaling = {
        .kind = RopeScaling::Kind::kYarn, .factor = 4.0f, .attention_factor = 1.25f, .original_context_length = 64};
    const Architecture pruned =
        test::tiny_architecture({.architecture = "deci", .layers = {{4, 2, 48}, {2, 1, 64}, {0, 0, 32}}});
    for (const Architecture& there :
         {test::tiny_architecture(), test::tiny_architecture({.architecture = "qwen2"}), scaled, pruned}) {
        const Architecture back = architecture_from_gguf(metadata_of(there), !there.tied_embeddings);
        EXPECT_EQ(back.layers, there.layers);
        EXPECT_EQ(back.rope_scaling.kind, there.rope_scaling.kind);
        EXPECT_EQ(back.rope_scaling.factor, there.rope_scaling.factor);
        EXPECT_EQ(back.rope_scaling.attention_factor, there.rope_scaling.attention_factor);
        EXPECT_EQ(back.rope_scaling.original_context_length, there.rope_scaling.original_context_length);
        EXPECT_EQ(back.rope_layout, there.rope_layout);
        EXPECT_EQ(metadata_of(back).entries(), metadata_of(there).entries());
    }
}

TEST(WriteArchitecture, GivesDeciArraysAndOthersNumbers) {
    const GgufMetadata deci = metadata_of(test::tiny_architecture({.architecture = "deci"}));
    const auto* heads = deci.array<std::int32_t>("deci.attention.head_count");
    ASSERT_TRUE(heads);
    EXPECT_EQ(*heads, (std::vector<std::int32_t>{4, 4}));
    EXPECT_EQ(metadata_of(test::tiny_architecture()).integer("llama.attention.head_count"), 4);
}

TEST(ArchitectureFromGguf, FillsInWhatOlderFilesLeaveOut) {
    GgufMetadata metadata = metadata_of(test::tiny_architecture());
    for (const char* key : {"key_length", "value_length", "head_count_kv"})
        metadata.erase(std::string("llama.attention.") + key);
    metadata.erase("llama.rope.dimension_count");
    metadata.erase("llama.rope.freq_base");
    const Architecture architecture = architecture_from_gguf(metadata, false);
    EXPECT_EQ(architecture.head_dim, 8);
    EXPECT_EQ(architecture.n_rot, 8);
    EXPECT_EQ(architecture.rope_freq_base, 10000.0f);
    EXPECT_EQ(architecture.layers[0].n_head_kv, 4);
}

TEST(ArchitectureFromGguf, ReadsALinearScalingUnderEitherName) {
    for (const char* key : {"llama.rope.scaling.factor", "llama.rope.scale_linear"}) {
        GgufMetadata metadata = metadata_of(test::tiny_architecture());
        metadata.set(key, 2.0f);
        const RopeScaling scaling = architecture_from_gguf(metadata, false).rope_scaling;
        EXPECT_EQ(scaling.kind, RopeScaling::Kind::kLinear) << key;
        EXPECT_EQ(scaling.factor, 2.0f) << key;
    }
}

}  // namespace
}  // namespace plasticity
