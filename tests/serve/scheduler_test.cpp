#include "serve/scheduler.h"

#include <gtest/gtest.h>

#include <thread>

#include "engine/engine_support.h"
#include "engine/generate.h"

namespace plasticity {
namespace {

using test::quiet;
using test::scattered_tokens;
using namespace std::chrono_literals;

/// What became of one text.
struct Outcome {
    std::string text, failure;
    std::vector<ScoredToken> prompt, tokens;
    TextEnd end;
};

std::vector<Outcome> wait_for(Reply& reply, std::size_t n_texts) {
    std::vector<Outcome> outcomes(n_texts);
    while (!reply.finished()) {
        const auto event = reply.take(20s);
        if (!event) break;
        Outcome& outcome = outcomes[event->text_index];
        outcome.text += event->text;
        outcome.failure += event->failure;
        outcome.prompt.insert(outcome.prompt.end(), event->prompt.begin(), event->prompt.end());
        outcome.tokens.insert(outcome.tokens.end(), event->tokens.begin(), event->tokens.end());
        if (event->end) outcome.end = *event->end;
    }
    return outcomes;
}

class SchedulerOfATinyModel : public testing::Test {
protected:
    static constexpr std::int32_t kContext = 256;

    void start(SchedulerOptions options) {
        scheduler_.reset();
        decoder_ = std::make_unique<Decoder>(
            *model_,
            DecoderOptions{
                .context_length = kContext, .threads = 1, .sequences = static_cast<std::int32_t>(options.slots)},
            quiet());
        scheduler_ = std::make_unique<Scheduler>(*decoder_, tokenizer_, options, metrics_);
    }

    static TextJob job(std::vector<std::int32_t> prompt, std::int32_t max_tokens = 12) {
        return {.prompt = std::move(prompt),
                .generate = {.max_tokens = max_tokens, .sampler = {.temperature = 0}, .top_probabilities = 1}};
    }

    Outcome run(const TextJob& one) {
        const auto reply = scheduler_->submit({one});
        return wait_for(*reply, 1).front();
    }

    Generation alone(const TextJob& one) {
        Decoder decoder(*model_, {.context_length = kContext, .threads = 1}, quiet());
        return generate(decoder, tokenizer_, {.tokens = one.prompt}, one.generate, {});
    }

    test::TempDir dir_;
    std::unique_ptr<Model> model_ = open_model(test::write_tiny_gguf(dir_ / "tiny.gguf", {.context_length = kContext}));
    Tokenizer tokenizer_{model_->tokenizer()};
    Metrics metrics_;
    std::unique_ptr<Decoder> decoder_;
    std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(SchedulerOfATinyModel, ATextAloneIsWhatGenerateGives) {
    start({.slots = 3});
    for (const std::size_t length : {1u, 7u, 200u}) {
        const TextJob one = job(scattered_tokens(length, static_cast<std::uint32_t>(length)));
        const Generation expected = alone(one);
        const Outcome outcome = run(one);
        EXPECT_EQ(outcome.tokens, expected.tokens) << length;
        EXPECT_EQ(outcome.text, expected.text);
        EXPECT_EQ(outcome.end.reason, expected.reason);
        EXPECT_EQ(outcome.end.prompt_tokens, static_cast<std::int32_t>(length));
        EXPECT_EQ(outcome.end.generated_tokens, static_cast<std::int32_t>(expected.tokens.size()));
    }
}

/// Logits beside others differ by rounding; none of these greedy choices turns on it.
TEST_F(SchedulerOfATinyModel, TextsBesideEachOtherAreWhatTheyAreAlone) {
    start({.slots = 4});
    std::vector<TextJob> jobs;
    for (std::uint32_t i = 0; i < 12; ++i) jobs.push_back(job(scattered_tokens(3 + 11 * i, i + 1), 20));
    const auto reply = scheduler_->submit(jobs);
    const auto outcomes = wait_for(*reply, jobs.size());
    for (std::size_t i = 0; i < jobs.size(); ++i)
        EXPECT_EQ(token_ids(outcomes[i].tokens), token_ids(alone(jobs[i]).tokens)) << i;
    EXPECT_LT(metrics_.counts().steps, 12u * 20) << "steps are shared";
}

TEST_F(SchedulerOfATinyModel, PromptsAreScored) {
    start({.slots = 2});
    TextJob one = job(scattered_tokens(100), 0);
    one.score_prompt = true;
    const Outcome outcome = run(one);
    Decoder decoder(*model_, {.context_length = kContext, .threads = 1}, quiet());
    const test::Rows rows = test::logits_of(decoder, one.prompt, 100);
    ASSERT_EQ(outcome.prompt.size(), 99u);
    for (std::size_t i = 0; i < 99; ++i) EXPECT_EQ(outcome.prompt[i], score_token(rows[i], one.prompt[i + 1], 1)) << i;
    EXPECT_TRUE(outcome.tokens.empty());
    EXPECT_EQ(outcome.end.reason, StopReason::kLength);
}

TEST_F(SchedulerOfATinyModel, WhatASlotKnowsOfAPromptIsNotFedAgain) {
    start({.slots = 2});
    std::vector<std::int32_t> prompt = scattered_tokens(50);
    const Outcome first = run(job(prompt, 5));
    for (const ScoredToken& token : first.tokens) prompt.push_back(token.token);
    prompt.push_back('x');
    const Outcome second = run(job(prompt, 5));
    EXPECT_EQ(first.end.reused_tokens, 0);
    EXPECT_EQ(second.end.reused_tokens, 54) << "all but the answer's last token, which was never fed, and what follows";
    EXPECT_EQ(token_ids(second.tokens), token_ids(alone(job(prompt, 5)).tokens));
    EXPECT_EQ(run(job(prompt, 5)).end.reused_tokens, 55) << "the last token is fed for its logits";
    start({.slots = 2, .reuse_prompts = false});
    run(job(prompt, 5));
    EXPECT_EQ(run(job(prompt, 5)).end.reused_tokens, 0);
}

TEST_F(SchedulerOfATinyModel, EndsWhereTheContextDoes) {
    start({.slots = 1});
    const Outcome outcome = run(job(scattered_tokens(kContext), 50));
    EXPECT_EQ(outcome.end.reason, StopReason::kContext);
    EXPECT_EQ(outcome.tokens.size(), 1u);
}

TEST_F(SchedulerOfATinyModel, TheQueueIsBoundedAndARequestIsTakenWholeOrNotAtAll) {
    start({.slots = 1, .queued = 3});
    std::vector<std::shared_ptr<Reply>> replies{scheduler_->submit({job(scattered_tokens(200), 40)})};
    while (scheduler_->gauges().busy_slots == 0) std::this_thread::sleep_for(1ms);
    replies.push_back(scheduler_->submit(std::vector<TextJob>(2, job(scattered_tokens(200), 40))));
    ASSERT_NE(replies.back(), nullptr);
    EXPECT_EQ(scheduler_->submit(std::vector<TextJob>(2, job({1}))), nullptr);
    for (const auto& reply : replies)
        for (const Outcome& outcome : wait_for(*reply, reply == replies[0] ? 1 : 2)) EXPECT_EQ(outcome.failure, "");
    EXPECT_NE(scheduler_->submit({job({1})}), nullptr);
}

TEST_F(SchedulerOfATinyModel, WorkOfAClientThatLeftStops) {
    start({.slots = 1});
    TextJob endless = job({'a'}, -1);
    endless.generate.sampler.grammar = "root ::= [a-z] root";
    const auto left = scheduler_->submit({endless, endless});
    left->take(10s);
    left->cancel();
    EXPECT_EQ(run(job(scattered_tokens(4), 3)).tokens.size(), 3u);
    EXPECT_EQ(metrics_.counts().cancelled, 2u) << "the text in work, and the one that waited";
}

TEST_F(SchedulerOfATinyModel, StopFailsWhatIsInWorkOrWaits) {
    start({.slots = 1});
    TextJob endless = job({'a'}, -1);
    endless.generate.sampler.grammar = "root ::= [a-z] root";
    const auto reply = scheduler_->submit({endless, endless});
    reply->take(10s);
    scheduler_->stop();
    for (const Outcome& outcome : wait_for(*reply, 2)) EXPECT_NE(outcome.failure, "");
    EXPECT_EQ(scheduler_->submit({job({1})}), nullptr);
}

TEST_F(SchedulerOfATinyModel, ADefectEndsItsTextsAndNotTheServer) {
    start({.slots = 2});
    EXPECT_NE(run(job({test::kTinyVocabulary})).failure, "");
    EXPECT_EQ(run(job({'a'}, 3)).failure, "");
}

TEST_F(SchedulerOfATinyModel, CountsWhatItDoes) {
    start({.slots = 2});
    run(job(scattered_tokens(30), 4));
    const Metrics::Counts counts = metrics_.counts();
    EXPECT_EQ(counts.prompt_tokens, 30u);
    EXPECT_EQ(counts.generated_tokens, 4u);
    EXPECT_EQ(counts.steps, 4u);
    EXPECT_EQ(counts.step_tokens, 33u);
    const std::string text = metrics_.text(scheduler_->gauges());
    for (const char* line : {"plasticity_prompt_tokens_total 30\n", "plasticity_slots 2\n",
                             "plasticity_first_token_seconds_count 1\n", "_bucket{le=\"+Inf\"} 1\n"})
        EXPECT_NE(text.find(line), std::string::npos) << text;
}

}  // namespace
}  // namespace plasticity
