#include "model/tensor_names.h"

#include <gtest/gtest.h>

namespace plasticity {
namespace {

struct Pair {
    TensorId id;
    const char* gguf;
    const char* hf;
};

const Pair kPairs[] = {
    {{TensorRole::kTokenEmbedding}, "token_embd.weight", "model.embed_tokens.weight"},
    {{TensorRole::kOutputNorm}, "output_norm.weight", "model.norm.weight"},
    {{TensorRole::kOutput}, "output.weight", "lm_head.weight"},
    {{TensorRole::kQuery, 3}, "blk.3.attn_q.weight", "model.layers.3.self_attn.q_proj.weight"},
    {{TensorRole::kKey, 0, true}, "blk.0.attn_k.bias", "model.layers.0.self_attn.k_proj.bias"},
    {{TensorRole::kValue, 12}, "blk.12.attn_v.weight", "model.layers.12.self_attn.v_proj.weight"},
    {{TensorRole::kAttentionOutput, 1}, "blk.1.attn_output.weight", "model.layers.1.self_attn.o_proj.weight"},
    {{TensorRole::kAttentionNorm, 1}, "blk.1.attn_norm.weight", "model.layers.1.input_layernorm.weight"},
    {{TensorRole::kFeedForwardNorm, 1}, "blk.1.ffn_norm.weight", "model.layers.1.post_attention_layernorm.weight"},
    {{TensorRole::kGate, 1}, "blk.1.ffn_gate.weight", "model.layers.1.mlp.gate_proj.weight"},
    {{TensorRole::kUp, 1}, "blk.1.ffn_up.weight", "model.layers.1.mlp.up_proj.weight"},
    {{TensorRole::kDown, 100}, "blk.100.ffn_down.weight", "model.layers.100.mlp.down_proj.weight"},
};

TEST(TensorNames, GoBothWaysInBothSchemes) {
    for (const Pair& pair : kPairs) {
        EXPECT_EQ(gguf_name(pair.id), pair.gguf);
        EXPECT_EQ(hf_name(pair.id), pair.hf);
        EXPECT_EQ(parse_gguf_name(pair.gguf), pair.id) << pair.gguf;
        EXPECT_EQ(parse_hf_name(pair.hf), pair.id) << pair.hf;
    }
}

TEST(TensorNames, AFamilyMayCallARoleByTheNameOfAnother) {
    const RoleSpelling spellings[]{{TensorRole::kAttentionPostNorm, "post_attention_layernorm"},
                                   {TensorRole::kFeedForwardNorm, "pre_feedforward_layernorm"}};
    const std::string name = "model.layers.2.post_attention_layernorm.weight";
    const TensorId post_norm{TensorRole::kAttentionPostNorm, 2}, norm{TensorRole::kFeedForwardNorm, 2};
    EXPECT_EQ(parse_hf_name(name, spellings), post_norm);
    EXPECT_EQ(parse_hf_name(name), norm);
    EXPECT_EQ(hf_name(post_norm, spellings), name);
    EXPECT_EQ(hf_name(norm, spellings), "model.layers.2.pre_feedforward_layernorm.weight");
    EXPECT_EQ(parse_hf_name("model.layers.2.mlp.up_proj.weight", spellings), (TensorId{TensorRole::kUp, 2}));
    EXPECT_FALSE(parse_hf_name("model.layers.2.post_attention_norm.weight", spellings));
}

TEST(TensorNames, RopeFrequenciesExistInGgufOnly) {
    EXPECT_EQ(parse_gguf_name("rope_freqs.weight"), (TensorId{TensorRole::kRopeFrequencies}));
    EXPECT_FALSE(parse_hf_name("rope_freqs.weight"));
    EXPECT_FALSE(parse_hf_name(".weight"));
}

TEST(TensorNames, NothingElseIsAName) {
    for (const char* name :
         {"", "weight", ".weight", "blk.", "blk..attn_q.weight", "blk.0.attn_q", "blk.-1.attn_q.weight",
          "blk.00.attn_q.weight", "blk.0x.attn_q.weight", "blk.99999999999.attn_q.weight", "blk.0.token_embd.weight",
          "attn_q.weight", "blk.0.attn_q.weight ", "BLK.0.attn_q.weight"})
        EXPECT_FALSE(parse_gguf_name(name)) << name;
    for (const char* name : {"model.layers.0.self_attn.rotary_emb.inv_freq", "layers.0.self_attn.q_proj.weight",
                             "model.layers.self_attn.q_proj.weight", "model.layers.0.lm_head.weight"})
        EXPECT_FALSE(parse_hf_name(name)) << name;
}

TEST(TensorNames, MatricesAreWhatIsWorthQuantising) {
    EXPECT_TRUE(is_matrix({TensorRole::kTokenEmbedding}));
    EXPECT_TRUE(is_matrix({TensorRole::kDown, 2}));
    EXPECT_FALSE(is_matrix({TensorRole::kQuery, 2, true}));
    EXPECT_FALSE(is_matrix({TensorRole::kAttentionNorm, 2}));
    EXPECT_FALSE(is_matrix({TensorRole::kRopeFrequencies}));
}

}  // namespace
}  // namespace plasticity
