// Input columns padded for single matrices: SmolLM2, whose rows of 576 become 768, in the own engine alone.

#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "integration/real_model.h"
#include "integration/stock_engine.h"
#include "plasticity/compress.h"
#include "support/temp_dir.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

std::vector<float> logits_of(const Model& model, std::span<const std::int32_t> tokens, WeightPrecision precision) {
    Decoder decoder(model, {.context_length = 512, .precision = precision}, test::quiet());
    std::vector<float> rows;
    decoder.feed(tokens, 0,
                 [&](std::int32_t, std::span<const float> row) { rows.insert(rows.end(), row.begin(), row.end()); });
    return rows;
}

/// Against the same weights dequantised and not padded. Activations have 8 bits in the one, with one scale for 256 of
/// them, and 32 in the other: that alone moves logits, whose spread is about 3, by 0.5 and perplexity by 2 %, as much
/// as in the padded form that stock llama.cpp runs. Had a matrix read a wrong column, they would be nowhere near.
TEST(PaddedColumns, GiveTheLogitsOfTheUnpaddedWeights) {
    const test::TempDir dir;
    const auto path = dir / "padded.gguf";
    const Recipe recipe = test::tiny_recipe_with_padded_columns(
        *open_model(test::smollm2()), {.type = GGML_TYPE_Q6_K, .embedding_type = GGML_TYPE_Q6_K});
    compress({.model = test::smollm2(), .output = path}, recipe, test::quiet());
    EXPECT_EQ(std::filesystem::file_size(path), recipe.budget.file_bytes);
    const auto model = open_model(path);
    EXPECT_EQ(model->architecture().n_embd, 576);
    EXPECT_EQ(model->require({TensorRole::kTokenEmbedding}).row_length(), 768);
    EXPECT_EQ(model->require({TensorRole::kDown, 3}).padded_cols, 0) << "1536 are whole blocks";

    const EvaluationText text = test::source_text(*model, 1);
    const auto chunk = text.chunk(0);
    const std::span<const std::int32_t> tokens = std::span(chunk).first(256);
    const std::vector<float> padded = logits_of(*model, tokens, WeightPrecision::kStored);
    const std::vector<float> unpadded = logits_of(*model, tokens, WeightPrecision::kF32);
    double squares = 0;
    for (std::size_t i = 0; i < padded.size(); ++i) {
        const double difference = static_cast<double>(padded[i]) - unpadded[i];
        squares += difference * difference;
    }
    const double typical = std::sqrt(squares / static_cast<double>(padded.size()));
    EXPECT_LT(typical, 0.8);
    const double of_stored = test::own_perplexity(*model, text);
    const double of_unpadded = test::own_perplexity(*model, text, WeightPrecision::kF32);
    EXPECT_NEAR(of_stored / of_unpadded, 1, 0.05);
    std::cout << "logits apart by " << typical << " (root mean square); perplexity " << of_stored << ", unpadded "
              << of_unpadded << "\n";
    EXPECT_THROW(test::StockEngine(path, 512), std::runtime_error) << "not stock: the recipe says so";
}

}  // namespace
}  // namespace plasticity
