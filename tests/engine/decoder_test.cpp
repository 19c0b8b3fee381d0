#include "engine/decoder.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "engine/decoder_memory.h"
#include "engine/engine_support.h"

namespace plasticity {
namespace {

using test::largest_difference;
using test::logits_of;
using test::quiet;
using test::Rows;
using test::scattered_tokens;

class DecoderOfATinyModel : public testing::TestWithParam<std::string> {
protected:
    Decoder load(DecoderOptions options = {}) {
        options.threads = options.threads > 0 ? options.threads : 1;
        return {*model_, options, quiet()};
    }

    test::TempDir dir_;
    std::unique_ptr<Model> model_ =
        open_model(test::write_tiny_gguf(dir_ / "tiny.gguf", test::family_model(GetParam())));
};

/// All three read keys and values that were rounded to F16 alike; what differs is the attention kernel: for tiles of
/// queries it sums values in F32, for few queries in F16, where up to 150 terms add errors of 2^-11 each. Logits have a
/// spread of about 1, and 2e-2 was measured; one other token far back moves them by more than 0.2.
TEST_P(DecoderOfATinyModel, SaysTheSameInOneGoInBatchesAndTokenByToken) {
    const auto tokens = scattered_tokens(150);
    Decoder whole = load({.context_length = 200}), batched = load({.context_length = 200, .batch = 64});
    const Rows at_once = logits_of(whole, tokens, 150);
    whole.clear();
    const Rows in_steps = logits_of(whole, tokens, 37), in_batches = logits_of(batched, tokens, 150);
    whole.clear();
    const Rows one_by_one = logits_of(whole, tokens, 1);
    ASSERT_EQ(at_once.size(), 150u);
    ASSERT_EQ(one_by_one.size(), 150u);
    EXPECT_LT(largest_difference(at_once, in_steps), 5e-2);
    EXPECT_LT(largest_difference(at_once, in_batches), 5e-2);
    EXPECT_LT(largest_difference(at_once, one_by_one), 5e-2);

    auto other = tokens;
    other[3] += 1;
    whole.clear();
    EXPECT_GT(largest_difference(at_once, logits_of(whole, other, 150)), 2e-1) << "the tolerance would hide anything";
}

TEST_P(DecoderOfATinyModel, LooksOnlyBack) {
    const auto tokens = scattered_tokens(40);
    auto other = tokens;
    other.back() = 7;
    Decoder decoder = load({.context_length = 64});
    Rows a = logits_of(decoder, tokens, 40);
    decoder.clear();
    Rows b = logits_of(decoder, other, 40);
    EXPECT_NE(a.back(), b.back());
    a.pop_back();
    b.pop_back();
    EXPECT_EQ(a, b);
}

TEST_P(DecoderOfATinyModel, ClearForgetsEverything) {
    const auto tokens = scattered_tokens(20);
    Decoder decoder = load({.context_length = 64});
    const Rows first = logits_of(decoder, tokens, 20);
    EXPECT_EQ(decoder.position(), 20);
    decoder.clear();
    EXPECT_EQ(decoder.position(), 0);
    logits_of(decoder, scattered_tokens(64, 9), 64);
    decoder.clear();
    EXPECT_EQ(logits_of(decoder, tokens, 20), first);
}

/// ggml has separate kernels for many tokens, few, and one, the last with a split of the cache from 512 cells on.
TEST_P(DecoderOfATinyModel, DoesNotDependOnThreads) {
    const auto prompt = scattered_tokens(530), more = scattered_tokens(6, 2);
    Rows rows[2];
    for (const int threads : {1, 2}) {
        Decoder decoder = load({.context_length = 600, .threads = threads});
        Rows& all = rows[threads - 1];
        all = logits_of(decoder, prompt, 530);
        for (const std::int32_t token : more)
            decoder.feed(std::span(&token, 1), 0,
                         [&](std::int32_t, std::span<const float> row) { all.emplace_back(row.begin(), row.end()); });
    }
    ASSERT_EQ(rows[0].size(), 536u);
    EXPECT_EQ(rows[0], rows[1]);
}

TEST_P(DecoderOfATinyModel, GivesTheLogitsThatAreWanted) {
    const auto tokens = scattered_tokens(100);
    Decoder decoder = load({.context_length = 128, .batch = 32});
    const Rows all = logits_of(decoder, tokens, 100);
    for (const std::size_t first : {0u, 1u, 31u, 32u, 70u, 99u, 100u}) {
        decoder.clear();
        std::size_t next = first;
        decoder.feed(tokens, first, [&](std::int32_t position, std::span<const float> row) {
            ASSERT_EQ(position, static_cast<std::int32_t>(next));
            // Products of fewer rows at once may take another kernel.
            for (std::size_t id = 0; id < row.size(); ++id) ASSERT_NEAR(row[id], all[next][id], 1e-4);
            ++next;
        });
        EXPECT_EQ(next, 100u);
    }
}

INSTANTIATE_TEST_SUITE_P(Families, DecoderOfATinyModel, testing::Values("llama", "qwen2", "deci"),
                         [](const auto& family) { return family.param; });

TEST_P(DecoderOfATinyModel, TakesTheMemoryThatIsPredicted) {
    Decoder decoder = load({.context_length = 1024});
    decoder.feed(scattered_tokens(1024), 0, [](std::int32_t, std::span<const float>) {});
    const DecoderMemory predicted = decoder_memory(model_->architecture(), 1024);
    const auto measured = static_cast<double>(decoder.compute_bytes());
    EXPECT_NEAR(static_cast<double>(predicted.graphs) / measured, 1, 0.05);
    EXPECT_EQ(predicted.host, 4u * (512 * 32 + 64 * 264) + 2u * 512 * 1024);
    EXPECT_GT(predicted.kernels, 0u);
    EXPECT_GT(decoder_memory(model_->architecture(), 2048).graphs, predicted.graphs);
}

/// Keys and values of eight and of four bits move logits by more than nothing, by less than a share of the largest, and
/// four bits by less than sixteen times as much: so much coarser their steps are.
/// Copies that lie otherwise in memory: prompts do not use them at all, single tokens sum in another order.
TEST(Repacking, ChangesSingleTokensByRoundingAlone) {
    const test::TempDir dir;
    const auto model =
        open_model(test::write_tiny_gguf(dir / "tiny.gguf", {.n_embd = 64, .n_ff = 64, .matrix_type = GGML_TYPE_Q4_0}));
    const auto load = [&](std::optional<bool> repack) {
        return Decoder(*model, {.context_length = 64, .threads = 1, .repack = repack}, quiet());
    };
    Decoder plain = load(false), repacked = load(true);
    const auto tokens = scattered_tokens(40);
    EXPECT_EQ(logits_of(plain, tokens, 40), logits_of(repacked, tokens, 40));
    plain.clear();
    repacked.clear();
    EXPECT_LT(largest_difference(logits_of(plain, tokens, 1), logits_of(repacked, tokens, 1)), 5e-2);
#if defined(__x86_64__)
    EXPECT_GT(repacked.weight_bytes(), plain.weight_bytes() + 2 * 3 * 64 * 64 * 18 / 32 - 1);
#endif
    EXPECT_EQ(load(std::nullopt).weight_bytes(), repacked.weight_bytes());  // any machine has room for so little
    repacked.replace({TensorRole::kDown, 0}, nullptr);                      // copies of what is replaced would be wrong
    EXPECT_EQ(repacked.weight_bytes(), plain.weight_bytes());
}

TEST(KvCacheTypes, QuantisedOnesSayAboutTheSameInLessMemory) {
    const test::TempDir dir;
    const auto model = open_model(test::write_tiny_gguf(dir / "t.gguf", {.head_dim = 32, .context_length = 64}));
    const auto tokens = scattered_tokens(40);
    const auto logits_with = [&](ggml_type type, std::size_t& bytes) {
        Decoder decoder(*model, {.context_length = 64, .threads = 1, .kv_type = type}, quiet());
        bytes = decoder.cache_bytes();
        return logits_of(decoder, tokens, 8);
    };
    std::size_t f16_bytes = 0, bytes = 0;
    const Rows f16 = logits_with(GGML_TYPE_F16, f16_bytes);
    const double largest = largest_difference(f16, Rows(f16.size(), std::vector<float>(f16[0].size(), 0.0f)));
    double difference_before = 0;
    for (const auto& [type, share] : {std::pair{GGML_TYPE_Q8_0, 0.05}, {GGML_TYPE_Q4_0, 16 * 0.05}}) {
        const double difference = largest_difference(f16, logits_with(type, bytes));
        EXPECT_GT(difference, difference_before) << ggml_type_name(type);
        EXPECT_LT(difference / largest, share) << ggml_type_name(type);
        EXPECT_EQ(bytes, f16_bytes / 64 * ggml_type_size(type)) << ggml_type_name(type);
        difference_before = difference;
    }
}

TEST(KvCacheTypes, BlocksThatHeadsDoNotFillAreRefused) {
    const test::TempDir dir;
    const auto model = open_model(test::write_tiny_gguf(dir / "t.gguf"));
    EXPECT_THROW(Decoder(*model, {.context_length = 8, .threads = 1, .kv_type = GGML_TYPE_Q8_0}, quiet()), Error);
}

class DecoderLimits : public testing::Test {
protected:
    DecoderLimits()
        : decoder_(*open_model(test::write_tiny_gguf(dir_ / "t.gguf")), {.context_length = 16, .threads = 1}, quiet()) {
    }

    void expect_refused(const std::vector<std::int32_t>& tokens, ErrorKind kind, std::string_view reason) {
        const std::int32_t position = decoder_.position();
        try {
            decoder_.feed(tokens, 0, [](std::int32_t, std::span<const float>) { ADD_FAILURE() << "computed"; });
            ADD_FAILURE() << "accepted";
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kind);
            EXPECT_NE(std::string_view(error.what()).find(reason), std::string_view::npos) << error.what();
        }
        EXPECT_EQ(decoder_.position(), position);
    }

    test::TempDir dir_;
    Decoder decoder_;
};

TEST_F(DecoderLimits, FullContextIsAUsageError) {
    expect_refused(scattered_tokens(17), ErrorKind::kUsage, "17 tokens after 0 exceed the context of 16");
    decoder_.feed(scattered_tokens(16), 16, {});
    EXPECT_EQ(decoder_.position(), 16);
    expect_refused({1}, ErrorKind::kUsage, "1 tokens after 16");
    decoder_.clear();
    decoder_.feed(scattered_tokens(16), 16, {});
}

TEST_F(DecoderLimits, IdsOutsideTheVocabularyAreMalformed) {
    expect_refused({1, test::kTinyVocabulary}, ErrorKind::kMalformed, "token id 264; expected 0 to 263");
    expect_refused({-1}, ErrorKind::kMalformed, "token id -1");
}

TEST_F(DecoderLimits, CountsItsMemory) {
    decoder_.feed(scattered_tokens(8), 0, [](std::int32_t, std::span<const float>) {});
    EXPECT_EQ(decoder_.cache_bytes(), 2u * 2 * 16 * 16 * 2);  // layers · (K, V) · cells · channels · F16
    EXPECT_GT(decoder_.weight_bytes(), 264u * 32 * 4);
    EXPECT_GT(decoder_.compute_bytes(), 0u);
}

}  // namespace
}  // namespace plasticity
