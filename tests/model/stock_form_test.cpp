#include "model/stock_form.h"

#include <gtest/gtest.h>

#include "support/tiny_model.h"

namespace plasticity {
namespace {

using test::tiny_architecture;

Architecture with_heads(Architecture architecture, std::vector<LayerGeometry> layers) {
    architecture.layers = std::move(layers);
    return architecture;
}

TEST(StockForm, IsTheOwnArchitectureWhereItsLoaderTakesTheHeads) {
    const Architecture llama = tiny_architecture();
    EXPECT_EQ(stock_form(llama, llama).architecture, "llama");
    const StockForm alike = stock_form(llama, with_heads(llama, {{2, 1, 48}, {2, 1, 48}}));
    EXPECT_EQ(alike.architecture, "llama");
    EXPECT_TRUE(alike.stock);
    EXPECT_EQ(alike.rope_layout, RopeLayout::kNorm);
}

TEST(StockForm, IsDeciWhereBlocksDifferOrTheLoaderInsists) {
    const Architecture llama = tiny_architecture(), qwen2 = tiny_architecture({.architecture = "qwen2"});
    EXPECT_EQ(stock_form(llama, with_heads(llama, {{2, 1, 48}, {4, 2, 48}})).architecture, "deci");
    EXPECT_EQ(stock_form(qwen2, qwen2).architecture, "qwen2");
    const StockForm alike = stock_form(qwen2, with_heads(qwen2, {{2, 1, 48}, {2, 1, 48}}));
    EXPECT_EQ(alike.architecture, "deci") << "stock qwen2 takes only heads that fill the embedding";
    EXPECT_EQ(alike.rope_layout, RopeLayout::kNorm);
    EXPECT_TRUE(alike.stock);
}

TEST(StockForm, IsDeciWhereWidthsDiffer) {
    const Architecture llama = tiny_architecture(), qwen2 = tiny_architecture({.architecture = "qwen2"});
    const StockForm ragged = stock_form(llama, with_heads(llama, {{4, 2, 48}, {4, 2, 32}}));
    EXPECT_EQ(ragged.architecture, "deci");
    EXPECT_NE(ragged.reason.find("feed-forward widths"), std::string::npos) << ragged.reason;
    const StockForm alike = stock_form(qwen2, with_heads(qwen2, {{4, 2, 32}, {4, 2, 32}}));
    EXPECT_EQ(alike.architecture, "qwen2") << "its heads fill the embedding still";
    EXPECT_NE(alike.reason.find("this feed-forward width"), std::string::npos) << alike.reason;
}

TEST(StockForm, SaysWhenThereIsNone) {
    Architecture qwen3 = tiny_architecture();
    qwen3.name = "qwen3";
    qwen3.features.query_key_norms = true;
    EXPECT_FALSE(takes_geometry_per_layer(qwen3));
    const StockForm alike = stock_form(qwen3, with_heads(qwen3, {{2, 1, 48}, {2, 1, 48}}));
    EXPECT_EQ(alike.architecture, "qwen3");
    EXPECT_TRUE(alike.stock);
    EXPECT_EQ(alike.rope_layout, RopeLayout::kNeox);
    const StockForm differing = stock_form(qwen3, with_heads(qwen3, {{2, 1, 48}, {4, 2, 48}}));
    EXPECT_EQ(differing.architecture, "qwen3");
    EXPECT_FALSE(differing.stock);
    EXPECT_NE(differing.reason.find("one geometry for all blocks"), std::string::npos) << differing.reason;
}

// Each of these would be lost silently.
TEST(DeciCarries, NothingBeyondALlama) {
    const Architecture llama = tiny_architecture();
    EXPECT_TRUE(deci_carries(llama));
    std::vector<Architecture> others(7, llama);
    others[0].features.query_key_norms = true;
    others[1].features.activation = Activation::kGelu;
    others[2].features.no_rope_every = 4;
    others[3].multipliers.residual = 0.5f;
    others[4].window.n_tokens = 8;
    others[5].attention_scale = 0.25f;
    others[6].experts.count = 2;
    for (std::size_t i = 0; i < others.size(); ++i) EXPECT_FALSE(deci_carries(others[i])) << i;
}

}  // namespace
}  // namespace plasticity
