#include "plan/trial_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "engine/tokenizer.h"
#include "plan/curvature_support.h"

namespace plasticity {
namespace {

TEST(MeanDivergence, HandMadeNumbers) {
    const Divergence d = mean_divergence({1, 2, 3, 6});
    EXPECT_DOUBLE_EQ(d.mean, 3);
    EXPECT_DOUBLE_EQ(d.standard_error, std::sqrt((4 + 1 + 0 + 9) / 3.0 / 4));
    EXPECT_EQ(mean_divergence({0.5}).standard_error, 0);
}

class Trial : public testing::Test {
protected:
    TrialModel trial(TrialOptions options = {.threads = 1}) const {
        return {*model_, statistics_, text_, options, test::quiet()};
    }
    const ModelTensor& down() const { return model_->require({TensorRole::kDown, 1}); }
    const ModelTensor& output() const { return model_->require({TensorRole::kAttentionOutput, 0}); }

    static std::string some_text() {
        std::string text;
        for (int i = 0; i < 200; ++i) text += static_cast<char>('!' + i * i % 90);
        return text;
    }

    test::TempDir dir_;
    std::unique_ptr<Model> model_ = open_model(test::write_tiny_gguf(
        dir_ / "tiny.gguf", {.n_embd = 64, .n_head = 8, .n_head_kv = 4, .n_ff = 256, .matrix_type = GGML_TYPE_F16}));
    Statistics statistics_ = test::synthetic_curvature(*model_);
    EvaluationText text_ = prepare_evaluation(Tokenizer(model_->tokenizer()), some_text(), 32, 3);
};

TEST_F(Trial, IsNoDistanceFromTheBaseUntilAMatrixIsReplaced) {
    TrialModel model = trial();
    EXPECT_EQ(model.positions(), 3 * (32 - 1 - 16));
    EXPECT_EQ(model.divergence(), std::vector<double>(45, 0.0));
    model.set(down(), {GGML_TYPE_Q3_K, 256});
    const double coarse = mean_divergence(model.divergence()).mean;
    model.set(down(), {GGML_TYPE_Q6_K, 256});
    const double fine = mean_divergence(model.divergence()).mean;
    EXPECT_GT(fine, 0);
    EXPECT_GT(coarse, 4 * fine);
    model.set(down(), {GGML_TYPE_F16, 256});
    EXPECT_EQ(mean_divergence(model.divergence()).mean, 0) << "the source's own type";
    model.set(output(), {GGML_TYPE_Q4_0, 64});
    model.restore();
    EXPECT_EQ(mean_divergence(model.divergence()).mean, 0);
}

TEST_F(Trial, ComesBackToTheSameNumbers) {
    TrialModel model = trial();
    model.set(down(), {GGML_TYPE_Q4_K, 256});
    const std::vector<double> first = model.divergence();
    model.set(output(), {GGML_TYPE_Q4_0, 64});
    EXPECT_NE(model.divergence(), first);
    model.set(output(), {GGML_TYPE_F16, 64});
    EXPECT_EQ(model.divergence(), first);
    EXPECT_EQ(model.divergence(2), std::vector<double>(first.end() - 15, first.end()));
}

TEST_F(Trial, DependsNeitherOnThreadsNorOnTheCache) {
    const auto measured = [&](TrialOptions options) {
        TrialModel model = trial(options);
        model.set(down(), {GGML_TYPE_Q4_K, 256});
        model.set(down(), {GGML_TYPE_Q3_K, 256});
        model.set(output(), {GGML_TYPE_Q4_0, 64});
        model.set(down(), {GGML_TYPE_Q4_K, 256});
        return model.divergence();
    };
    const std::vector<double> one = measured({.threads = 1});
    EXPECT_EQ(measured({.threads = 3}), one);
    EXPECT_EQ(measured({.cache_bytes = 0, .threads = 1}), one);
}

/// The tied embedding serves as output matrix, too: the base's logits still come from the base's own.
TEST_F(Trial, ReplacesATiedEmbeddingForTheTrialOnly) {
    TrialModel model = trial();
    const ModelTensor& embedding = model_->require({TensorRole::kTokenEmbedding});
    model.set(embedding, {GGML_TYPE_Q4_0, 64});
    const double coarse = mean_divergence(model.divergence()).mean;
    model.set(embedding, {GGML_TYPE_Q8_0, 64});
    const double fine = mean_divergence(model.divergence()).mean;
    EXPECT_GT(fine, 0);
    EXPECT_GT(coarse, 20 * fine);
}

/// Six bits in rows of 64 that zeros fill up to 256 do about what six bits do, and all heads kept is nothing pruned.
TEST_F(Trial, PadsRowsAndTakesHeadsOut) {
    TrialModel model = trial();
    model.set(output(), {GGML_TYPE_Q8_0, 64});
    const double eight = mean_divergence(model.divergence()).mean;
    model.set(output(), {GGML_TYPE_Q6_K, 256});
    const double padded = mean_divergence(model.divergence()).mean;
    EXPECT_GT(padded, 0);
    EXPECT_LT(padded, 100 * eight);

    MatrixForm all{GGML_TYPE_F16, 64, {}}, most{GGML_TYPE_F16, 32, {}};
    for (std::int64_t column = 0; column < 64; ++column) all.kept.push_back(column);
    most.kept.assign(all.kept.begin(), all.kept.begin() + 32);
    model.set(output(), all);
    EXPECT_EQ(mean_divergence(model.divergence()).mean, 0);
    model.set(output(), most);
    EXPECT_GT(mean_divergence(model.divergence()).mean, padded);
}

TEST_F(Trial, SaysHowMuchMemoryItTakes) {
    const std::uint64_t little = trial_bytes(*model_, text_, false);
    std::uint64_t base = 0;
    for (const ModelTensor& tensor : model_->tensors()) base += tensor.bytes();
    EXPECT_GT(little, base);
    EXPECT_GT(trial_bytes(*model_, text_, true), little);
    EvaluationText longer = text_;
    longer.n_chunks *= 2;
    EXPECT_EQ(trial_bytes(*model_, longer, false) - little, text_.positions() * 64 * sizeof(float));
}

}  // namespace
}  // namespace plasticity
