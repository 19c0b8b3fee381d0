#include "engine/evaluate.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "core/error.h"
#include "engine/engine_support.h"

namespace plasticity {
namespace {

using test::quiet;
using test::TempDir;

TEST(LogSoftmax, HandMadeNumbers) {
    const std::array<float, 3> logits{0.0f, std::log(2.0f), std::log(5.0f)};
    EXPECT_NEAR(log_softmax_at(logits, 0), std::log(1.0 / 8), 1e-6);
    EXPECT_NEAR(log_softmax_at(logits, 1), std::log(2.0 / 8), 1e-6);
    EXPECT_NEAR(log_softmax_at(logits, 2), std::log(5.0 / 8), 1e-6);
}

TEST(LogSoftmax, StandsLogitsOfAnySize) {
    const std::array<float, 3> large{1000.0f, 1000.0f, -1000.0f};
    EXPECT_NEAR(log_softmax_at(large, 0), -std::log(2.0), 1e-6);
    EXPECT_NEAR(log_softmax_at(large, 2), -2000 - std::log(2.0), 1e-3);
    const std::array<float, 1> lone{-7.0f};
    EXPECT_EQ(log_softmax_at(lone, 0), 0.0);
}

/// Models whose probabilities are written down.
class ScriptedEvaluation : public testing::Test {
protected:
    Decoder load(const std::function<float(int, int)>& logit, std::int32_t context = 16) {
        const auto path = dir_ / ("scripted" + std::to_string(n_models_++) + ".gguf");
        return {
            *open_model(test::write_scripted_gguf(path, logit)), {.context_length = context, .threads = 1}, quiet()};
    }

    TempDir dir_;
    int n_models_ = 0;
    const EvaluationText text_{.tokens = test::scattered_tokens(70), .context = 16, .n_chunks = 4};
};

constexpr auto kUniform = [](int, int) { return 0.0f; };

TEST_F(ScriptedEvaluation, UniformModelIsAsPerplexedAsTheVocabularyIsLarge) {
    Decoder decoder = load(kUniform);
    const Perplexity result = perplexity(decoder, text_, quiet());
    EXPECT_NEAR(result.value, 264, 1e-3);
    EXPECT_NEAR(result.standard_error, 0, 1e-3);
    EXPECT_EQ(result.positions, 4 * (16 - 1 - 8));
}

/// Every token's successor gets the logit that makes its probability 1/4 or 1/16 (in turn): the perplexity is the
/// geometric mean of 4 and 16, and shows that position i is judged by token i + 1.
TEST_F(ScriptedEvaluation, PerplexityIsTheGeometricMean) {
    EvaluationText text{.context = 16, .n_chunks = 2};
    for (int i = 0; i < 32; ++i) text.tokens.push_back(i);
    Decoder decoder = load([](int token, int next) {
        if (next != token + 1) return 0.0f;
        return std::log(263.0f / (token % 2 == 0 ? 3.0f : 15.0f));
    });
    // Tokens 8 to 14 of each chunk predict: 4 even ones, 3 odd ones.
    EXPECT_NEAR(perplexity(decoder, text, quiet()).value, std::exp((4 * std::log(4) + 3 * std::log(16)) / 7), 1e-3);
    const double variance = (4.0 / 7) * (3.0 / 7) * std::pow(std::log(4), 2);
    EXPECT_NEAR(perplexity(decoder, text, quiet()).standard_error / perplexity(decoder, text, quiet()).value,
                std::sqrt(variance / 13), 1e-4);
}

TEST_F(ScriptedEvaluation, ModelIsNoDistanceFromItself) {
    const auto logit = [](int token, int next) { return static_cast<float>((token * 31 + next * 17) % 13); };
    Decoder a = load(logit), b = load(logit);
    const QualityPanel panel = compare(a, b, text_, quiet());
    EXPECT_EQ(panel.mean_kl, 0);
    EXPECT_EQ(panel.max_kl, 0);
    EXPECT_EQ(panel.top1_agreement, 1);
    EXPECT_EQ(panel.perplexity, panel.base_perplexity);
    EXPECT_NEAR(panel.perplexity, perplexity(a, text_, quiet()).value, 1e-6);
}

/// The base gives one token probability 1/2, the model 1/4, and both share the rest evenly over 263 others:
/// KL = ½ ln(½ / ¼) + ½ ln(½ / ¾).
TEST_F(ScriptedEvaluation, DivergenceOfTwoKnownDistributions) {
    Decoder base = load([](int, int next) { return next == 7 ? std::log(263.0f) : 0.0f; });
    Decoder model = load([](int, int next) { return next == 7 ? std::log(263.0f / 3) : 0.0f; });
    const QualityPanel panel = compare(base, model, text_, quiet());
    const double expected = 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3);
    EXPECT_NEAR(panel.mean_kl, expected, 1e-5);
    EXPECT_NEAR(panel.median_kl, expected, 1e-5);
    EXPECT_NEAR(panel.p999_kl, expected, 1e-5);
    EXPECT_NEAR(panel.max_kl, expected, 1e-5);
    EXPECT_EQ(panel.top1_agreement, 1);
    EXPECT_EQ(panel.positions, text_.positions());

    const double backwards = 0.25 * std::log(0.5) + 0.75 * std::log(1.5);
    EXPECT_NEAR(compare(model, base, text_, quiet()).mean_kl, backwards, 1e-5);
}

/// Chunks in which the models differ after every token, after none, after every, after none: means k, 0, k, 0, whose
/// standard error is k / √12.
TEST_F(ScriptedEvaluation, ErrorBarComesFromTheSpreadOfChunks) {
    EvaluationText text{.context = 16, .n_chunks = 4};
    for (int i = 0; i < 64; ++i) text.tokens.push_back(i / 16 % 2 == 0 ? 1 : 2);
    Decoder base = load(kUniform);
    Decoder model = load([](int token, int next) { return token == 1 && next == 7 ? 5.0f : 0.0f; });
    const QualityPanel panel = compare(base, model, text, quiet());
    EXPECT_GT(panel.mean_kl, 0.01);
    EXPECT_NEAR(panel.mean_kl_error.value(), 2 * panel.mean_kl / std::sqrt(12), 1e-9);

    text.n_chunks = 1;
    EXPECT_FALSE(compare(base, model, text, quiet()).mean_kl_error);
}

TEST_F(ScriptedEvaluation, AgreementCountsTheMostLikelyToken) {
    // The models disagree after even tokens only.
    Decoder base = load([](int, int next) { return next == 5 ? 3.0f : 0.0f; });
    Decoder model = load([](int token, int next) { return next == (token % 2 == 0 ? 6 : 5) ? 3.0f : 0.0f; });
    double odd = 0;
    for (int chunk = 0; chunk < 4; ++chunk)
        for (std::size_t i = 8; i < 15; ++i) odd += text_.chunk(chunk)[i] % 2;
    EXPECT_DOUBLE_EQ(compare(base, model, text_, quiet()).top1_agreement, odd / 28);
}

TEST_F(ScriptedEvaluation, RefusesAContextTooShortAndOtherVocabularies) {
    Decoder decoder = load(kUniform, 8);
    EXPECT_THROW(perplexity(decoder, text_, quiet()), Error);
    EXPECT_THROW(compare(decoder, decoder, text_, quiet()), Error);
}

TEST(EvaluationText, IsCutAsThePerplexityToolDoes) {
    const Tokenizer tokenizer(test::tiny_tokenizer());
    const EvaluationText text = prepare_evaluation(tokenizer, "abcdefghijklmnopqrs", 8, 0);
    EXPECT_EQ(text.n_chunks, 2);
    EXPECT_EQ(text.first_scored(), 4);
    EXPECT_EQ(text.positions(), 2 * 3);
    EXPECT_EQ(text.bos, -1);
    EXPECT_EQ(text.chunk(1), (std::vector<std::int32_t>{'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p'}));
    EXPECT_EQ(prepare_evaluation(tokenizer, "abcdefghijklmnopqrs", 8, 1).n_chunks, 1);
    EXPECT_THROW(prepare_evaluation(tokenizer, "abcdefg", 8, 0), Error);
    EXPECT_THROW(prepare_evaluation(tokenizer, "abcdefg", 3, 0), Error);
}

TEST(EvaluationText, EveryChunkStartsWithBosWhereTheModelAddsOne) {
    GgufMetadata metadata = test::tiny_tokenizer();
    metadata.set("tokenizer.ggml.add_bos_token", true);
    const EvaluationText text = prepare_evaluation(Tokenizer(metadata), "abcdefghijklmnopqrs", 8, 0);
    EXPECT_EQ(text.bos, test::kTinyEndOfText);
    EXPECT_EQ(text.chunk(0), (std::vector<std::int32_t>{261, 'a', 'b', 'c', 'd', 'e', 'f', 'g'}));
    EXPECT_EQ(text.chunk(1), (std::vector<std::int32_t>{261, 'i', 'j', 'k', 'l', 'm', 'n', 'o'}));
}

}  // namespace
}  // namespace plasticity
