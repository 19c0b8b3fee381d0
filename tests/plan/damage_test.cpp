#include "plan/damage.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "artifact/importance.h"
#include "core/error.h"
#include "plan/curvature_support.h"
#include "quant/block_quantizer.h"
#include "support/tiny_gram.h"

namespace plasticity {
namespace {

class Damage : public testing::Test {
protected:
    const ModelTensor& matrix(const TensorId& id) const { return model_->require(id); }

    double measured(const ModelTensor& tensor, ggml_type type, DamageOptions options = {}) const {
        return measure_damage(*model_, statistics_, {{&tensor, {type}}}, options, test::quiet()).of(tensor.name, type);
    }

    /// ½ / count · Σ rows_r / Σ rows · columns_c · ΔW_rc² over all rows, straight from the definition.
    double exact(const ModelTensor& tensor, ggml_type type, const std::string& use) const {
        const CurvatureStatistics& curvature = statistics_.curvature.at(use);
        const std::vector<float> values = test::all_values(*model_, tensor.id);
        const BlockQuantizer quantizer(type, tensor.cols, channel_importance(statistics_, tensor), tensor.name);
        std::vector<std::byte> stored(static_cast<std::size_t>(tensor.rows) * quantizer.row_bytes());
        quantizer.quantize(values, 0, stored);
        std::vector<float> back(values.size());
        ggml_get_type_traits(type)->to_float(stored.data(), back.data(), static_cast<std::int64_t>(back.size()));
        double sum = 0, all_rows = 0;
        for (const double row : curvature.rows) all_rows += row;
        const auto cols = static_cast<std::size_t>(tensor.cols);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const double error = double{values[i]} - double{back[i]};
            sum += curvature.rows[i / cols] / all_rows * curvature.columns[i % cols] * error * error;
        }
        return 0.5 / static_cast<double>(curvature.count) * sum;
    }

    test::TempDir dir_;
    std::unique_ptr<Model> model_ = open_model(test::write_tiny_gguf(dir_ / "tiny.gguf", {.n_embd = 64, .n_ff = 256}));
    Statistics statistics_ = test::synthetic_curvature(*model_);
};

TEST_F(Damage, IsTheWeighedErrorOfRealBlocks) {
    const ModelTensor& query = matrix({TensorRole::kQuery, 1});
    const ModelTensor& down = matrix({TensorRole::kDown, 0});
    EXPECT_NEAR(measured(query, GGML_TYPE_Q4_0) / exact(query, GGML_TYPE_Q4_0, query.name), 1, 1e-9);
    EXPECT_NEAR(measured(down, GGML_TYPE_Q3_K) / exact(down, GGML_TYPE_Q3_K, down.name), 1, 1e-9);
    EXPECT_GT(measured(down, GGML_TYPE_Q3_K), measured(down, GGML_TYPE_Q4_K));
    EXPECT_GT(measured(down, GGML_TYPE_Q4_K), measured(down, GGML_TYPE_Q6_K));
}

TEST_F(Damage, OfATiedEmbeddingCountsBothUses) {
    const ModelTensor& embedding = matrix({TensorRole::kTokenEmbedding});
    const double both =
        exact(embedding, GGML_TYPE_Q5_0, embedding.name) + exact(embedding, GGML_TYPE_Q5_0, lookup_key(embedding.name));
    EXPECT_NEAR(measured(embedding, GGML_TYPE_Q5_0, {.rows = 1000}) / both, 1, 1e-9);
}

// 64 of 264 rows: the errors of blocks differ by some tens of percent, their mean over 64 by a few.
TEST_F(Damage, OfASampleIsNearThatOfAllRows) {
    const ModelTensor& embedding = matrix({TensorRole::kTokenEmbedding});
    const double all = measured(embedding, GGML_TYPE_Q4_0, {.rows = 1000});
    EXPECT_NEAR(measured(embedding, GGML_TYPE_Q4_0, {.rows = 64}) / all, 1, 0.1);
}

/// Rows of 64 in blocks of 256: zeros behind them take no damage and leave the scales to the others.
TEST_F(Damage, OfTypesThatWantLongerRowsIsMeasuredWithPadding) {
    const ModelTensor& gate = matrix({TensorRole::kGate, 0});
    ASSERT_EQ(gate.cols, 64);
    const double eight = measured(gate, GGML_TYPE_Q8_0, {.rows = 1000});
    const double six = measured(gate, GGML_TYPE_Q6_K, {.rows = 1000});
    const double four = measured(gate, GGML_TYPE_Q4_K, {.rows = 1000});
    EXPECT_GT(six, eight);
    EXPECT_GT(four, 4 * six);
    EXPECT_LT(four, 64 * six);
    EXPECT_NEAR(four / measured(gate, GGML_TYPE_Q4_1, {.rows = 1000}), 1, 0.3) << "of four bits with minima, too";
}

TEST_F(Damage, IsNoneWhereTheStoredBlocksStay) {
    const auto stored =
        open_model(test::write_tiny_gguf(dir_ / "q8.gguf", {.n_embd = 64, .n_ff = 256, .matrix_type = GGML_TYPE_Q8_0}));
    const ModelTensor& up = stored->require({TensorRole::kUp, 0});
    const DamageTable table =
        measure_damage(*stored, statistics_, {{&up, {GGML_TYPE_Q8_0, GGML_TYPE_Q5_0}}}, {}, test::quiet());
    EXPECT_EQ(table.of(up.name, GGML_TYPE_Q8_0), 0);
    EXPECT_GT(table.of(up.name, GGML_TYPE_Q5_0), 0);
    EXPECT_THROW(table.of(up.name, GGML_TYPE_Q4_0), Error);
    EXPECT_THROW(table.of("blk.7.ffn_up.weight", GGML_TYPE_Q8_0), Error);
}

TEST_F(Damage, DoesNotDependOnThreads) {
    std::vector<DamageQuestion> questions;
    for (const ModelTensor& tensor : model_->tensors())
        if (!tensor.is_vector) questions.push_back({&tensor, {GGML_TYPE_Q8_0, GGML_TYPE_Q4_0}});
    const DamageTable one = measure_damage(*model_, statistics_, questions, {.threads = 1}, test::quiet());
    const DamageTable four = measure_damage(*model_, statistics_, questions, {.threads = 4}, test::quiet());
    for (const DamageQuestion& question : questions)
        for (const ggml_type type : question.types)
            EXPECT_EQ(one.of(question.matrix->name, type), four.of(question.matrix->name, type));
}

/// Error feedback makes good for the inputs of layer 0's down and of the output matrix, which is the embedding.
class DamageWithFeedback : public Damage {
protected:
    DamageWithFeedback() {
        test::write_tiny_gram(dir_ / "gram.gguf", {{"blk.0.ffn_down.weight", 256}, {"token_embd.weight", 64}});
        gram_.emplace(dir_ / "gram.gguf");
    }

    double with_feedback(const ModelTensor& tensor, ggml_type type, int threads = 0) const {
        return measured(tensor, type, {.threads = threads, .gram = {&*gram_, std::uint64_t{1} << 30}});
    }

    std::optional<GramFile> gram_;
};

TEST_F(DamageWithFeedback, IsLessWhereTheTypeAndTheInputHaveIt) {
    const ModelTensor& down = matrix({TensorRole::kDown, 0});
    for (const ggml_type type : {GGML_TYPE_Q4_0, GGML_TYPE_Q4_K, GGML_TYPE_IQ4_XS, GGML_TYPE_IQ3_S}) {
        EXPECT_LT(with_feedback(down, type), 0.95 * measured(down, type)) << ggml_type_name(type);
        EXPECT_GT(with_feedback(down, type), 0.1 * measured(down, type)) << ggml_type_name(type);
    }
    EXPECT_EQ(with_feedback(down, GGML_TYPE_IQ3_XXS), measured(down, GGML_TYPE_IQ3_XXS)) << "signs are not free";
    const ModelTensor& other = matrix({TensorRole::kDown, 1});
    EXPECT_EQ(with_feedback(other, GGML_TYPE_Q4_0), measured(other, GGML_TYPE_Q4_0)) << "the file does not know it";
}

TEST_F(DamageWithFeedback, CountsZerosBehindShortRows) {
    test::write_tiny_gram(dir_ / "gate.gguf", {{"blk.0.ffn_gate.weight", 64}});
    gram_.emplace(dir_ / "gate.gguf");
    const ModelTensor& gate = matrix({TensorRole::kGate, 0});
    EXPECT_LT(with_feedback(gate, GGML_TYPE_Q4_K), 0.95 * measured(gate, GGML_TYPE_Q4_K));
}

/// What a row is looked up for bears all the errors.
TEST_F(DamageWithFeedback, OfATiedEmbeddingGainsOnlyAsTheOutputMatrix) {
    const ModelTensor& embedding = matrix({TensorRole::kTokenEmbedding});
    const double lookup = exact(embedding, GGML_TYPE_Q4_0, lookup_key(embedding.name));
    EXPECT_GT(with_feedback(embedding, GGML_TYPE_Q4_0), lookup);
}

TEST_F(DamageWithFeedback, DoesNotDependOnThreads) {
    const ModelTensor& down = matrix({TensorRole::kDown, 0});
    EXPECT_EQ(with_feedback(down, GGML_TYPE_Q4_0, 1), with_feedback(down, GGML_TYPE_Q4_0, 4));
}

TEST_F(DamageWithFeedback, GoesWithoutWhereMemoryAllowsNone) {
    const ModelTensor& down = matrix({TensorRole::kDown, 0});
    EXPECT_EQ(measured(down, GGML_TYPE_Q4_0, {.gram = {&*gram_, 1024}}), measured(down, GGML_TYPE_Q4_0));
}

TEST_F(Damage, NeedsTheCurvatureOfEveryUse) {
    const ModelTensor& embedding = matrix({TensorRole::kTokenEmbedding});
    EXPECT_TRUE(has_curvature(statistics_, *model_, embedding));
    statistics_.curvature.erase(lookup_key(embedding.name));
    EXPECT_FALSE(has_curvature(statistics_, *model_, embedding));
    EXPECT_TRUE(has_curvature(statistics_, *model_, matrix({TensorRole::kUp, 0})));
}

}  // namespace
}  // namespace plasticity
