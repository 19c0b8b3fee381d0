#include "plan/recipe_diff.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

using Names = std::vector<std::string>;
using Indices = std::vector<std::int32_t>;

void expect_has(const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
}

class RecipeDiffTest : public testing::Test {
protected:
    test::TempDir dir_;
    std::unique_ptr<Model> model_ = open_model(test::write_tiny_gguf(dir_ / "tiny.gguf"));
    Recipe a_ = test::tiny_recipe(*model_);
};

TEST_F(RecipeDiffTest, OfOneRecipeIsEmpty) {
    EXPECT_TRUE(diff(a_, a_).empty());
    EXPECT_EQ(diff_text(diff(a_, a_)), "no difference");
}

TEST_F(RecipeDiffTest, NamesWhatIsStatedDifferently) {
    Recipe b = a_;
    b.policy = "optimal";
    b.predicted_kl = 0.0125;
    b.budget.file_bytes += 1;
    const RecipeDiff difference = diff(a_, b);
    ASSERT_EQ(difference.statements.size(), 3u);
    EXPECT_EQ(difference.statements[0].what, "policy");
    EXPECT_EQ(difference.statements[1].what, "predicted KL");
    EXPECT_EQ(difference.statements[1].a, "");
    EXPECT_EQ(difference.statements[1].b, "0.0125 nats per token");
    EXPECT_EQ(difference.statements[2].what, "file");
    EXPECT_TRUE(difference.layers.empty());
    EXPECT_TRUE(difference.types.empty());
    expect_has(diff_text(difference), "predicted KL: none → 0.0125 nats per token\n");
}

TEST_F(RecipeDiffTest, CountsChannelsThatOnlyOneKeeps) {
    const std::vector<std::int32_t> all = test::up_to(48);
    const Recipe some = test::tiny_recipe(*model_, {.kept_channels = {all, {0, 1, 2, 9}}});
    const Recipe others = test::tiny_recipe(*model_, {.kept_channels = {all, {2, 3, 4, 5, 6}}});
    const RecipeDiff against_all = diff(a_, some);
    ASSERT_EQ(against_all.layers.size(), 1u);
    EXPECT_EQ(against_all.layers[0].n_channels_only_in_a, 44);
    EXPECT_EQ(against_all.layers[0].n_channels_only_in_b, 0);
    EXPECT_EQ(diff(some, a_).layers.at(0).n_channels_only_in_b, 44);
    const RecipeDiff difference = diff(some, others);
    ASSERT_EQ(difference.layers.size(), 1u);
    EXPECT_EQ(difference.layers[0].layer, 1);
    expect_has(diff_text(difference), "layer 1; 3 feed-forward channels only in A; 4 feed-forward channels only in B");
}

TEST_F(RecipeDiffTest, NamesHeadsThatOnlyOneKeeps) {
    std::vector<std::vector<std::int32_t>> kept(a_.topology.layers.size(), a_.topology.layers[0].retained_head_indices);
    kept.back() = {2, 3};
    const Recipe b = test::tiny_recipe(*model_, {.kept_heads = kept});
    const RecipeDiff difference = diff(a_, b);
    ASSERT_EQ(difference.layers.size(), 1u);
    const LayerDiff& layer = difference.layers[0];
    EXPECT_EQ(layer.layer, static_cast<std::int32_t>(kept.size()) - 1);
    EXPECT_EQ(layer.heads_only_in_a, (Indices{0, 1}));
    EXPECT_TRUE(layer.heads_only_in_b.empty());
    EXPECT_EQ(layer.kv_heads_only_in_a, (Indices{0}));
    expect_has(diff_text(difference), "heads only in A: 0 1");
    EXPECT_EQ(diff(b, a_).layers[0].heads_only_in_b, layer.heads_only_in_a);
}

TEST_F(RecipeDiffTest, NamesEveryMatrixOfAnotherTypeGlobsOrNot) {
    Recipe b = a_;
    QuantAssignment first{.pattern = "model.layers.0.mlp.*.weight", .type = GGML_TYPE_Q8_0, .reason = "a test"};
    b.tensor_quant_map.insert(b.tensor_quant_map.begin(), first);
    Names names;
    for (const TypeDiff& type : diff(a_, b).types) {
        EXPECT_EQ(type.a, GGML_TYPE_F32);
        EXPECT_EQ(type.b, GGML_TYPE_Q8_0);
        names.push_back(type.matrix);
    }
    EXPECT_EQ(names, (Names{"model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight",
                            "model.layers.0.mlp.down_proj.weight"}));
    expect_has(diff_text(diff(a_, b)), "f32 → q8_0, 3 matrices: model.layers.0.mlp.gate_proj.weight ");
}

TEST_F(RecipeDiffTest, RefusesModelsOfTwoShapes) {
    Recipe b = a_;
    b.topology.layers.pop_back();
    test::expect_error(ErrorKind::kUsage, {"two shapes", "expected two plans for one model"}, [&] { diff(a_, b); });
}

}  // namespace
}  // namespace plasticity
