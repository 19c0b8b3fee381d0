#include "artifact/recipe.h"

#include <gtest/gtest.h>

#include <utility>

#include "core/error.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

/// Two layers of 4 heads on 2 KV heads; the second keeps heads 1 and 2, one of each group.
Recipe sample_recipe() {
    Recipe recipe;
    recipe.topology.base_model = recipe.base_model = "tiny";
    recipe.topology.layers = {{0, 4, 2, {0, 1, 2, 3}, {0, 1}, {0.1, 0.2, 1.0 / 3, 1}},
                              {1, 2, 2, {1, 2}, {0, 1}, {0.01, 0.2, 0.3, 0.02}}};
    recipe.topology.original_num_heads = 4;
    recipe.topology.original_num_kv_heads = 2;
    recipe.topology.head_dim = 8;
    recipe.topology.parameter_reduction = 0.125;
    recipe.topology.precision_profile = "tiers: 2 low";
    recipe.tensor_quant_map = {{"*norm*.weight", GGML_TYPE_F32, "vector"},
                               {"model.layers.1.mlp.*", GGML_TYPE_Q4_K, "0.3 < 0.5"},
                               {"*", GGML_TYPE_F16, "rest"}};
    recipe.device = Device{"box", 16'123'456'789, 5'000'000'001};
    recipe.budget = {1, 2, 3, 4, 5, 6, 21, 999, 11'123'456'788};
    recipe.base_model_sha256 = "abc";
    recipe.pipeline_version = "0.1.0";
    recipe.policy = "tiers";
    recipe.context_length = 4096;
    recipe.output_architecture = "deci";
    recipe.stock_reason = "per-layer heads";
    recipe.counts_on_feedback = true;
    return recipe;
}

Architecture two_layers() {
    Architecture result;
    result.name = "llama";
    result.model_name = "tiny";
    result.head_dim = 8;
    result.tied_embeddings = true;
    result.layers = {{4, 2, 16}, {4, 2, 16}};
    return result;
}

std::string misfit(const Recipe& recipe) {
    try {
        require_recipe_fits(recipe, two_layers(), "recipe");
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
        return error.what();
    }
    return "";
}

TEST(GlobMatches, StarsSpanDotsAndAnchorsHold) {
    EXPECT_TRUE(glob_matches("model.layers.*.self_attn.q_proj.weight", "model.layers.12.self_attn.q_proj.weight"));
    EXPECT_TRUE(glob_matches("*", ""));
    EXPECT_TRUE(glob_matches("a*b*c", "a.b.b.c"));
    EXPECT_TRUE(glob_matches("layer?", "layer3"));
    EXPECT_FALSE(glob_matches("layer?", "layer33"));
    EXPECT_FALSE(glob_matches("a*b", "a.b.c"));
    EXPECT_FALSE(glob_matches("", "a"));
    EXPECT_FALSE(glob_matches("model.norm.weight", "xmodel.norm.weight"));
    EXPECT_FALSE(glob_matches(std::string(200, '*') + "x", std::string(5000, 'a')));  // and at once
}

TEST(Recipe, TheFirstMatchingPatternCounts) {
    const Recipe recipe = sample_recipe();
    EXPECT_EQ(recipe.assignment_for("model.layers.1.mlp.up_proj.weight")->type, GGML_TYPE_Q4_K);
    EXPECT_EQ(recipe.assignment_for("model.layers.0.mlp.up_proj.weight")->type, GGML_TYPE_F16);
    EXPECT_EQ(recipe.assignment_for("model.norm.weight")->type, GGML_TYPE_F32);
    EXPECT_EQ(Recipe{}.assignment_for("model.norm.weight"), nullptr);
}

TEST(Recipe, KnowsWhetherItPrunes) {
    Recipe recipe = sample_recipe();
    EXPECT_TRUE(recipe.prunes());
    recipe.topology.layers.pop_back();
    EXPECT_FALSE(recipe.prunes());
}

TEST(RecipeJson, ReadsBackTheSame) {
    const Recipe recipe = sample_recipe();
    const std::string text = recipe_to_json(recipe);
    EXPECT_EQ(recipe_from_json(text, "text"), recipe);
    EXPECT_EQ(recipe_to_json(recipe_from_json(text, "text")), text);
    EXPECT_EQ(text.back(), '\n');
    EXPECT_NE(text.find("\"retainedHeadIndices\": [1, 2]"), std::string::npos);
    EXPECT_NE(text.find("\"quantType\": \"q4_K\""), std::string::npos);

    Recipe for_a_file = recipe;
    for_a_file.device.reset();
    EXPECT_EQ(recipe_from_json(recipe_to_json(for_a_file), "text"), for_a_file);
}

TEST(RecipeJson, WritesPaddingOnlyWhereThereIsAny) {
    Recipe recipe = sample_recipe();
    const std::string without = recipe_to_json(recipe);
    EXPECT_EQ(without.find("padding"), std::string::npos);
    EXPECT_EQ(without.find("alignment"), std::string::npos);
    recipe.padding = {.width = 1024, .heads = 16};
    recipe.alignment = "padded to width 1024, heads 16";
    const std::string with = recipe_to_json(recipe);
    EXPECT_NE(with.find("\"padding\": {\n    \"width\": 1024,\n    \"heads\": 16\n  }"), std::string::npos) << with;
    EXPECT_EQ(recipe_from_json(with, "text"), recipe);
}

Recipe tried_sample() {
    Recipe recipe = sample_recipe();
    recipe.predicted_kl = 0.05;
    recipe.predicted_kl_error = 0.004;
    recipe.predicted_damage = 0.07;
    recipe.calibration =
        Calibration{.positions = 510,
                    .floor = 0.0005,
                    .ceiling = 4,
                    .rate = 0.2,
                    .relative_error = 0.07,
                    .corners = {{"every matrix q8_0", 0.001, 0.0008, 1e-5}, {"the plan", 0.07, 0.05, 0.002}}};
    recipe.refinement = Refinement{.trials = 12,
                                   .positions = 1020,
                                   .kl_before = 0.05,
                                   .kl_after = 0.048,
                                   .standard_error = 0.001,
                                   .kept = true,
                                   .changes = {{"attn_v counts × 1.5", -0.002, 0.001}}};
    return recipe;
}

TEST(RecipeJson, SaysWhatTrialsFound) {
    EXPECT_EQ(recipe_to_json(sample_recipe()).find("calibration"), std::string::npos);
    const std::string text = recipe_to_json(tried_sample());
    EXPECT_EQ(recipe_from_json(text, "text"), tried_sample());
    EXPECT_NE(text.find("\"predictedKlError\": 0.004"), std::string::npos) << text;
}

TEST(RecipeJson, RefusesWhatTrialsCannotFind) {
    const auto refused = [](const std::string& from, const std::string& to, const std::string& words) {
        std::string text = recipe_to_json(tried_sample());
        const std::size_t at = text.find(from);
        ASSERT_NE(at, std::string::npos) << from;
        test::expect_error(ErrorKind::kMalformed, {words},
                           [&] { recipe_from_json(text.replace(at, from.size(), to), "text"); });
    };
    refused("\"predictedKlError\": 0.004", "\"predictedKlError\": -0.004", "is -0.004; expected at least 0");
    refused("\"predictedDamage\": 0.07", "\"predictedDamage\": \"much\"", "predictedDamage");
    refused("\"rate\": 0.2", "\"rate\": -1", "calibration");
    refused("\"positions\": 510", "\"positions\": 0", "positions");
    refused("\"measuredKl\": 0.05", "\"measuredKl\": -0.05", "corners[1]");
    refused("\"relativeError\": 0.07", "\"error\": 0.07", "relativeError");
    refused("\"kept\": true", "\"kept\": 1", "kept");
    refused("\"change\": ", "\"swap\": ", "changes[0]");
}

TEST(RecipeJson, RefusesPaddingThatSaysNothingOrTooMuch) {
    Recipe recipe = sample_recipe();
    recipe.padding.width = 1024;
    const std::string good = recipe_to_json(recipe);
    for (const char* bad : {"\"width\": 0", "\"width\": -1", "\"width\": 1024.5", "\"width\": \"1024\"",
                            "\"width\": 99999999999", "\"width\": 1024, \"depth\": 2", ""}) {
        std::string text = good;
        text.replace(text.find("\"width\": 1024"), std::string_view("\"width\": 1024").size(), bad);
        test::expect_error(ErrorKind::kMalformed, {"padding"}, [&] { recipe_from_json(text, "the file"); });
    }
}

TEST(RecipeJson, WritesEqualizationOnlyWhereThereIsAny) {
    Recipe recipe = sample_recipe();
    EXPECT_EQ(recipe_to_json(recipe).find("equalization"), std::string::npos);
    recipe.equalization = 0.5;
    const std::string good = recipe_to_json(recipe);
    EXPECT_EQ(recipe_from_json(good, "text"), recipe);
    for (const char* bad : {"0", "-0.5", "5", "true", "\"0.5\""}) {
        std::string text = good;
        text.replace(text.find("\"equalization\": 0.5"), std::string_view("\"equalization\": 0.5").size(),
                     std::string("\"equalization\": ") + bad);
        test::expect_error(ErrorKind::kMalformed, {"equalization"}, [&] { recipe_from_json(text, "the file"); });
    }
}

Recipe with_channels(FeedForwardTopology channels) {
    Recipe recipe = sample_recipe();
    recipe.topology.layers[1].feed_forward = std::move(channels);
    return recipe;
}

TEST(RecipeJson, ListsChannelsOnlyWhereSomeGo) {
    EXPECT_EQ(recipe_to_json(sample_recipe()).find("feedForward"), std::string::npos);
    const Recipe recipe = with_channels({.original_channels = 16, .retained = {{0, 6}, {9, 9}}});
    EXPECT_TRUE(recipe.prunes_feed_forward());
    EXPECT_FALSE(sample_recipe().prunes_feed_forward());
    const std::string text = recipe_to_json(recipe);
    EXPECT_NE(text.find("\"retainedRanges\": [0, 6, 9, 9]"), std::string::npos) << text;
    EXPECT_NE(text.find("\"numChannels\": 8"), std::string::npos) << text;
    EXPECT_EQ(recipe_from_json(text, "text"), recipe);
}

TEST(RecipeJson, RefusesChannelsThatCannotBe) {
    const std::string good = recipe_to_json(with_channels({.original_channels = 16, .retained = {{0, 6}, {9, 9}}}));
    const std::pair<const char*, const char*> cases[] = {
        {"[0, 6, 9, 9]", "[0, 6, 9]"},
        {"[0, 6, 9, 9]", "[0, 6, 7, 7]"},
        {"[0, 6, 9, 9]", "[9, 9, 0, 6]"},
        {"[0, 6, 9, 9]", "[0, 6, 16, 16]"},
        {"[0, 6, 9, 9]", "[-1, 5, 9, 9]"},
        {"[0, 6, 9, 9]", "[0, 6.5, 9, 9]"},
        {"[0, 6, 9, 9]", "[0, 5, 9, 9]"},
        {"[0, 6, 9, 9]", "[]"},
        {"[0, 6, 9, 9]", "[0, 99999999999]"},
        {"\"numChannels\": 8", "\"numChannels\": 0"},
        {"\"numChannels\": 8", "\"numChannels\": 8, \"more\": 1"},
        {"\"originalNumChannels\": 16", "\"originalNumChannels\": -16"},
        {"\"originalNumChannels\": 16", "\"originalNumChannels\": 8"},
    };
    for (const auto& [from, to] : cases) {
        std::string text = good;
        text.replace(text.find(from), std::string_view(from).size(), to);
        test::expect_error(ErrorKind::kMalformed, {"layers[1]: feedForward"}, [&] { recipe_from_json(text, "text"); });
    }
}

TEST(RequireRecipeFits, WantsChannelsOfTheLayer) {
    const Recipe good = with_channels({.original_channels = 16, .retained = {{0, 6}, {9, 9}}});
    EXPECT_EQ(misfit(good), "");
    EXPECT_TRUE(good.prunes());
    EXPECT_EQ(kept_architecture(good, two_layers()).layers[0].n_ff, 16);
    EXPECT_EQ(kept_architecture(good, two_layers()).layers[1].n_ff, 8);
    EXPECT_NE(misfit(with_channels({.original_channels = 12, .retained = {{0, 6}}}))
                  .find("layer 1: feedForward: is of 12 channels; the model's layer has 16"),
              std::string::npos);
    EXPECT_NE(misfit(with_channels({.original_channels = 16, .retained = {}})).find("no channel stays"),
              std::string::npos);
}

TEST(RecipeJson, WritesPaddedColumnsOnlyWhereThereAreAny) {
    Recipe recipe = sample_recipe();
    EXPECT_FALSE(recipe.pads_columns());
    EXPECT_EQ(recipe_to_json(recipe).find("paddedColumns"), std::string::npos);
    recipe.tensor_quant_map[1].padded_columns = 768;
    recipe.stock = false;
    EXPECT_TRUE(recipe.pads_columns());
    const std::string text = recipe_to_json(recipe);
    EXPECT_NE(text.find("\"paddedColumns\": 768"), std::string::npos) << text;
    EXPECT_EQ(recipe_from_json(text, "text"), recipe);
}

TEST(RecipeJson, RefusesPaddedColumnsThatAreNoWholeBlocks) {
    Recipe recipe = sample_recipe();
    recipe.tensor_quant_map[1].padded_columns = 768;
    const std::string good = recipe_to_json(recipe);
    const std::string_view key = "\"paddedColumns\": 768";
    for (const char* bad : {"0", "-256", "767", "768.5", "\"768\"", "4294967296", "null"}) {
        std::string text = good;
        text.replace(text.find(key), key.size(), std::string("\"paddedColumns\": ") + bad);
        test::expect_error(ErrorKind::kMalformed, {"tensorQuantMap[1]", "paddedColumns"},
                           [&] { recipe_from_json(text, "the file"); });
    }
    recipe.tensor_quant_map[1].type = GGML_TYPE_F16;
    test::expect_error(ErrorKind::kMalformed, {"paddedColumns", "f16 has no blocks"},
                       [&] { recipe_from_json(recipe_to_json(recipe), "the file"); });
}

TEST(RecipeJson, SavesAndLoads) {
    const test::TempDir dir;
    save_recipe(sample_recipe(), dir / "recipe.json", Overwrite::kRefuse);
    EXPECT_EQ(load_recipe(dir / "recipe.json"), sample_recipe());
    EXPECT_THROW(save_recipe(sample_recipe(), dir / "recipe.json", Overwrite::kRefuse), Error);
}

TEST(RecipeJson, RefusesEveryKindOfDamage) {
    const std::string good = recipe_to_json(sample_recipe());
    const std::pair<const char*, const char*> cases[] = {
        {"\"schemaVersion\": 1", "\"schemaVersion\": 2"},
        {"\"policy\"", "\"polisy\""},
        {"\"policy\"", "\"surprise\": 1, \"policy\""},
        {"\"headDim\"", "\"headdim\""},
        {"\"q4_K\"", "\"q4_Z\""},
        {"\"q4_K\"", "\"i32\""},
        {"[0, 1, 2, 3]", "[0, 2, 1, 3]"},
        {"[0, 1, 2, 3]", "[0, 1, 1, 3]"},
        {"[0, 1, 2, 3]", "[-1, 1, 2, 3]"},
        {"[0, 1, 2, 3]", "[0, 1.5, 2, 3]"},
        {"[0.01, 0.2,", "[-0.01, 0.2,"},
        {"[0.01, 0.2,", "[null, 0.2,"},
        {"\"fileBytes\": 999", "\"fileBytes\": -1"},
        {"\"fileBytes\": 999", "\"fileBytes\": 18446744073709551615"},
        {"\"parameterReduction\": 0.125", "\"parameterReduction\": 1.5"},
        {"\"contextLength\": 4096", "\"contextLength\": 4096.5"},
        {"\"stock\": true", "\"stock\": 1"},
        {"\"policy\"", "\"policy\": \"x\", \"policy\""},
    };
    for (const auto& [from, to] : cases) {
        std::string bad = good;
        ASSERT_NE(bad.find(from), std::string::npos) << from;
        bad.replace(bad.find(from), std::string(from).size(), to);
        try {
            recipe_from_json(bad, "the file");
            ADD_FAILURE() << to;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kMalformed) << to;
            EXPECT_TRUE(std::string(error.what()).starts_with("the file")) << error.what();
        }
    }
    EXPECT_THROW(recipe_from_json(good.substr(0, good.size() - 4), "cut"), Error);
    EXPECT_THROW(recipe_from_json("", "empty"), Error);
    EXPECT_THROW(recipe_from_json("[]", "array"), Error);
}

TEST(RecipeJson, NamesEveryProblemAtOnce) {
    std::string bad = recipe_to_json(sample_recipe());
    for (const auto& [from, to] : {std::pair{"\"policy\"", "\"polisy\""},
                                   {"\"fileBytes\": 999", "\"fileBytes\": -1"},
                                   {"[0, 1, 2, 3]", "[0, 2, 1, 3]"},
                                   {"\"q4_K\"", "\"q4_Z\""},
                                   {"\"stock\": true", "\"stock\": 1"}})
        bad.replace(bad.find(from), std::string_view(from).size(), to);
    try {
        recipe_from_json(bad, "the file");
        FAIL();
    } catch (const Error& error) {
        const std::string message = error.what();
        for (const char* part : {"the file", "6 problems", "\"policy\" is missing", "unknown keys \"polisy\"",
                                 "budget: \"fileBytes\" is -1", "topology: layers[0]: \"retainedHeadIndices\"",
                                 "tensorQuantMap[", "q4_Z", "\"stock\" holds a number"})
            EXPECT_NE(message.find(part), std::string::npos) << part << "\n" << message;
    }
}

TEST(RequireRecipeFits, AcceptsItsOwnModel) {
    EXPECT_EQ(misfit(sample_recipe()), "");
}

TEST(RequireRecipeFits, NamesEveryMisfit) {
    Recipe recipe = sample_recipe();
    recipe.topology.layers.pop_back();
    EXPECT_NE(misfit(recipe).find("1 layers; the model \"tiny\" has 2"), std::string::npos);

    recipe = sample_recipe();
    recipe.topology.layers[1].retained_head_indices = {0, 1};  // both of group 0, none of group 1
    EXPECT_NE(misfit(recipe).find("different numbers"), std::string::npos);

    recipe = sample_recipe();
    recipe.topology.layers[1].retained_kv_head_indices = {0};
    recipe.topology.layers[1].num_kv_heads = 1;
    EXPECT_NE(misfit(recipe).find("belongs to a KV head that is removed"), std::string::npos);

    recipe = sample_recipe();
    recipe.topology.layers[1].retained_head_indices = {1, 4};
    EXPECT_NE(misfit(recipe).find("below 4 heads"), std::string::npos);

    recipe = sample_recipe();
    recipe.topology.layers[0].num_heads = 3;
    recipe.topology.layers[1].head_scores.pop_back();
    const std::string both = misfit(recipe);
    EXPECT_NE(both.find("layer 0"), std::string::npos);
    EXPECT_NE(both.find("layer 1"), std::string::npos);

    recipe = sample_recipe();
    recipe.topology.head_dim = 16;
    EXPECT_NE(misfit(recipe).find("16 dimensions"), std::string::npos);

    recipe = sample_recipe();
    recipe.tensor_quant_map.pop_back();
    EXPECT_NE(misfit(recipe).find("no pattern matches model.embed_tokens.weight"), std::string::npos);
}

TEST(RequireRecipeFits, ChecksPaddingAgainstWhatIsKept) {
    Recipe recipe = sample_recipe();
    recipe.padding = {.heads = 6, .feed_forward = 32};
    EXPECT_EQ(misfit(recipe), "");
    recipe.padding.heads = 5;
    EXPECT_NE(misfit(recipe).find("multiple of the 2 KV heads"), std::string::npos);
    recipe.padding.heads = 4;
    EXPECT_NE(misfit(recipe).find("heads is 4; the model has 4, expected 5 to 1032"), std::string::npos);
    recipe.padding = {.feed_forward = 16};
    EXPECT_NE(misfit(recipe).find("feedForward is 16; the model has 16"), std::string::npos);
}

TEST(RequireRecipeFits, PaddedColumnsAreNotStock) {
    Recipe recipe = sample_recipe();
    recipe.tensor_quant_map[1].padded_columns = 256;
    EXPECT_NE(misfit(recipe).find("stock is true; expected false"), std::string::npos) << misfit(recipe);
    recipe.stock = false;
    EXPECT_EQ(misfit(recipe), "");
}

TEST(RequireRecipeFits, BlocksMayLoseAllAttention) {
    Recipe recipe = sample_recipe();
    recipe.topology.layers[1] = {1, 0, 0, {}, {}, {0, 0, 0, 0}};
    EXPECT_EQ(misfit(recipe), "");
}

}  // namespace
}  // namespace plasticity
