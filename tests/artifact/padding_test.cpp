#include "artifact/padding.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace plasticity {
namespace {

Architecture architecture(const char* name = "llama") {
    Architecture result;
    result.name = name;
    result.n_embd = 576;
    result.head_dim = 64;
    result.rms_norm_epsilon = 1e-5f;
    result.layers = {{9, 3, 1500}, {0, 0, 1536}};
    return result;
}

std::string problems_of(const Architecture& output, const Padding& padding) {
    ProblemList problems("recipe");
    check_padding(output, padding, problems);
    try {
        problems.throw_if_any();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

TEST(PaddedArchitecture, KeepsBlocksWithoutAttention) {
    const Architecture padded = padded_architecture(architecture(), {.width = 768, .heads = 12, .feed_forward = 1792});
    EXPECT_EQ(padded.n_embd, 768);
    EXPECT_FLOAT_EQ(padded.rms_norm_epsilon, 7.5e-6f);
    EXPECT_EQ(padded.layers[0], (LayerGeometry{12, 3, 1792}));
    EXPECT_EQ(padded.layers[1], (LayerGeometry{0, 0, 1792}));
    const Architecture same = padded_architecture(architecture(), {});
    EXPECT_EQ(same.n_embd, 576);
    EXPECT_EQ(same.rms_norm_epsilon, 1e-5f);
    EXPECT_EQ(same.layers, architecture().layers);
}

TEST(PaddedLength, CountsHeadsInTheirDimensions) {
    const Padding padding{.width = 768, .heads = 12};
    EXPECT_EQ(padded_length(padding, padded_axes({TensorRole::kQuery, 0}).rows, 576, 64), 768);
    EXPECT_EQ(padded_length(padding, padded_axes({TensorRole::kQuery, 0}).cols, 576, 64), 768);
    EXPECT_EQ(padded_length(padding, padded_axes({TensorRole::kKey, 0}).rows, 192, 64), 192);
    EXPECT_EQ(padded_length(padding, padded_axes({TensorRole::kQuery, 0, true}).cols, 576, 64), 768);
    EXPECT_EQ(padded_length(padding, padded_axes({TensorRole::kValue, 0, true}).cols, 192, 64), 192);
    EXPECT_EQ(padded_length(padding, padded_axes({TensorRole::kDown, 0}).cols, 1536, 64), 1536);
    EXPECT_EQ(padded_length(padding, padded_axes({TensorRole::kQueryNorm, 0}).cols, 64, 64), 64);
    EXPECT_EQ(padded_length(padding, padded_axes({TensorRole::kOutputNorm}).cols, 576, 64), 768);
}

TEST(CheckPadding, WantsMoreThanThereIsAndEvenlySpreadHeads) {
    EXPECT_EQ(problems_of(architecture(), {}), "");
    EXPECT_EQ(problems_of(architecture(), {.width = 768, .heads = 12, .feed_forward = 1792}), "");
    const std::string all = problems_of(architecture(), {.width = 576, .heads = 13, .feed_forward = 1000000});
    for (const char* part :
         {"width is 576; the model has 576, expected 577 to 2176", "heads is 13; expected a multiple",
          "feedForward is 1000000; the model has 1536, expected 1537 to 4096"})
        EXPECT_NE(all.find(part), std::string::npos) << all;
}

TEST(PaddingObstacle, NamesWhyAFamilyWouldComputeSomethingElse) {
    const auto obstacle = [](const Architecture& of, const Padding& padding) {
        return padding_obstacle(of, padding).value_or("");
    };
    EXPECT_EQ(obstacle(architecture(), {.width = 768, .heads = 12, .feed_forward = 1792}), "");
    Architecture gemma = architecture("gemma3");
    EXPECT_NE(obstacle(gemma, {.width = 768}).find("square root of its width"), std::string::npos);
    EXPECT_EQ(obstacle(gemma, {.heads = 12}), "");
    gemma.attention_scale = 0.1f;
    EXPECT_NE(obstacle(gemma, {.heads = 12}).find("number of heads"), std::string::npos);
    Architecture normed = architecture("qwen3");
    normed.features.query_key_norms = true;
    EXPECT_NE(obstacle(normed, {.width = 768}).find("epsilon"), std::string::npos);
    EXPECT_EQ(obstacle(normed, {.heads = 12, .feed_forward = 1792}), "");
    Architecture experts = architecture("qwen3moe");
    experts.experts.count = 4;
    EXPECT_NE(obstacle(experts, {.feed_forward = 1792}).find("experts"), std::string::npos);
    EXPECT_NE(problems_of(experts, {.feed_forward = 1792}).find("experts"), std::string::npos);
}

TEST(KeepsZeroColumns, WantsAZeroOrABlockOfItsOwn) {
    EXPECT_TRUE(keeps_zero_columns(GGML_TYPE_Q3_K, 896));
    EXPECT_TRUE(keeps_zero_columns(GGML_TYPE_IQ4_XS, 576));
    EXPECT_TRUE(keeps_zero_columns(GGML_TYPE_F16, 37));
    EXPECT_FALSE(keeps_zero_columns(GGML_TYPE_IQ3_S, 896));
    EXPECT_TRUE(keeps_zero_columns(GGML_TYPE_IQ3_S, 768));
    EXPECT_FALSE(keeps_zero_columns(GGML_TYPE_Q4_1, 40));
}

TEST(AlignmentOf, SaysHowRowsFillBlocks) {
    EXPECT_EQ(alignment_of(GGML_TYPE_Q4_K, 1536, 1536), "256-wide blocks");
    EXPECT_EQ(alignment_of(GGML_TYPE_Q5_0, 1536, 1536), "32-wide blocks");
    EXPECT_EQ(alignment_of(GGML_TYPE_Q5_0, 896, 896), "32-wide blocks: 896 is no multiple of 256");
    EXPECT_EQ(alignment_of(GGML_TYPE_Q3_K, 896, 1024), "padded 896 → 1024: 256-wide blocks");
    EXPECT_EQ(alignment_of(GGML_TYPE_F16, 100, 100), "blocks of 1: 100 is no multiple of 32");
}

TEST(PaddingText, NamesWhatIsPadded) {
    EXPECT_EQ(padding_text({}), "");
    EXPECT_EQ(padding_text({.width = 1024, .heads = 16, .feed_forward = 1536}),
              "width 1024, heads 16, feed-forward width 1536");
}

}  // namespace
}  // namespace plasticity
