#include <gtest/gtest.h>

#include <cmath>

#include "engine/engine_support.h"
#include "verify/coherence_check.h"

namespace plasticity {
namespace {

using test::quiet;

TEST(Repetition, CountsGramsThatWereThere) {
    using Texts = std::vector<std::vector<std::int32_t>>;
    EXPECT_EQ(repetition(Texts{{1, 2, 3, 4, 5, 6, 7, 8}}), 0);
    EXPECT_EQ(repetition(Texts{{1, 2, 3, 4}, {1, 2, 3, 4}}), 0) << "each text for itself";
    EXPECT_DOUBLE_EQ(repetition(Texts{{1, 1, 1, 1, 1, 1}}), 2.0 / 3);
    EXPECT_EQ(repetition(Texts{{1, 2}}), 0);
}

/// Models whose probabilities are written down.
class ScriptedCoherence : public testing::Test {
protected:
    Check judge(const std::function<float(int, int)>& logit, const Thresholds& thresholds = {}) {
        const auto model = open_model(test::write_scripted_gguf(dir_ / "scripted.gguf", logit));
        Decoder decoder(*model, {.context_length = 128, .threads = 1}, quiet());
        const DrawnTexts drawn = draw_texts(*model, decoder);
        found_ = {.tokens = std::ssize(drawn.texts[0]) + std::ssize(drawn.texts[1]),
                  .repetition = repetition(drawn.texts),
                  .entropy = drawn.entropy,
                  .perplexity = std::exp(drawn.negative_log_likelihood)};
        EXPECT_NEAR(judged_by(decoder, drawn), drawn.negative_log_likelihood, 1e-4) << "under itself it is the same";
        return judge_coherence(found_, thresholds);
    }

    test::TempDir dir_;
    OutputCoherence found_;
};

TEST_F(ScriptedCoherence, AnyTokenAtRandomIsCoherentForASmallVocabulary) {
    const Check check = judge([](int, int) { return 0.0f; });
    EXPECT_TRUE(check.passed) << check.detail;
    EXPECT_EQ(found_.tokens, 128);
    EXPECT_NEAR(found_.entropy, std::log(264.0), 1e-3);
    EXPECT_NEAR(found_.perplexity, 264, 0.5);
    EXPECT_LT(found_.repetition, 0.05);
    Thresholds strict;
    strict.max_output_perplexity = 100;
    EXPECT_NE(
        judge([](int, int) { return 0.0f; }, strict).detail.find("perplexity 264 under itself; expected at most 100"),
        std::string::npos);
}

TEST_F(ScriptedCoherence, ACircleOfThreeTokensIsRepetition) {
    const Check check = judge([](int token, int next) { return next == (token + 1) % 3 ? 30.0f : 0.0f; });
    EXPECT_FALSE(check.passed);
    EXPECT_GT(found_.repetition, 0.9);
    EXPECT_NE(check.detail.find("are repetitions; expected at most 50.0 %"), std::string::npos) << check.detail;
    EXPECT_NE(check.detail.find("entropy 0.0000 nats"), std::string::npos) << check.detail;
}

}  // namespace
}  // namespace plasticity
