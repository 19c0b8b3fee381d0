#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "artifact/adapted_model.h"
#include "artifact/kept_adapter.h"
#include "core/progress.h"
#include "engine/decoder.h"
#include "support/expect_error.h"
#include "support/random_adapter.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

std::vector<float> logits_of(const Model& model, std::optional<LoraAdapter> adapter) {
    const auto progress = make_progress(ProgressStyle::kQuiet);
    DecoderOptions options{.context_length = 32, .exact = true, .threads = 2};
    options.adapter = std::move(adapter);
    Decoder decoder(model, options, *progress);
    const std::vector<std::int32_t> tokens{72, 101, 108, 108, 111, 44, 32, 119};
    std::vector<float> all;
    decoder.feed(tokens, 0,
                 [&](std::int32_t, std::span<const float> row) { all.insert(all.end(), row.begin(), row.end()); });
    return all;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) largest = std::max<double>(largest, std::abs(a[i] - b[i]));
    return largest;
}

struct Case {
    std::string name;
    std::string architecture;
    test::TinyRecipeOptions recipe;
};

class PrunedLora : public testing::TestWithParam<Case> {};

/// An adapter beside the pruned file computes what pruning the merged model does.
TEST_P(PrunedLora, IsThatOfTheMergedModel) {
    const test::TempDir dir;
    const auto path = test::write_tiny_gguf(dir / "base.gguf", {.architecture = GetParam().architecture});
    const auto base = open_model(path);
    const LoraAdapter adapter = test::random_adapter(base->architecture());
    save_gguf_adapter(adapter, base->architecture(), dir / "adapter.gguf", Overwrite::kRefuse);
    const Recipe recipe = test::tiny_recipe(*base, GetParam().recipe);
    test::write_naively(*base, recipe, dir / "kept.gguf");
    test::write_naively(*with_adapter(open_model(path), adapter), recipe, dir / "merged.gguf");

    const auto kept = open_model(dir / "kept.gguf");
    const auto beside = load_kept_adapter(*kept, dir / "adapter.gguf");
    const std::vector<float> expected = logits_of(*open_model(dir / "merged.gguf"), std::nullopt);
    EXPECT_GT(largest_difference(logits_of(*kept, std::nullopt), expected), 0.1);
    EXPECT_LT(largest_difference(logits_of(*kept, beside), expected), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(
    Integration, PrunedLora,
    testing::Values(Case{"Whole", "qwen2", {}}, Case{"HeadsOfNorm", "llama", {.kept_heads = {{2, 3}, {0, 2}}}},
                    Case{"HeadsOfNeox", "qwen2", {.kept_heads = {{0, 1, 2, 3}, {0, 1}}}},
                    Case{"NoAttention", "llama", {.kept_heads = {{}, {0, 1, 2, 3}}}},
                    Case{"Channels", "llama", {.kept_heads = {}, .kept_channels = {test::up_to(32), {0, 7, 9, 40}}}},
                    Case{"WidthPadded", "llama", {.kept_heads = {}, .padding = {.width = 64, .feed_forward = 64}}},
                    Case{"HeadsPadded", "llama", {.kept_heads = {}, .padding = {.heads = 8}}}),
    [](const auto& one) { return one.param.name; });

TEST(PrunedLoraRefused, OfAnotherModel) {
    const test::TempDir dir;
    const auto write = [&](const char* name, const test::TinyModelOptions& options) {
        const Architecture architecture = test::tiny_architecture(options);
        save_gguf_adapter(test::random_adapter(architecture), architecture, dir / name, Overwrite::kReplace);
        return dir / name;
    };
    const auto base = open_model(test::write_tiny_gguf(dir / "base.gguf"));
    const Recipe recipe = test::tiny_recipe(*base, {.kept_heads = {{2, 3}, {0, 1, 2, 3}}});
    test::write_naively(*base, recipe, dir / "kept.gguf");
    const auto kept = open_model(dir / "kept.gguf");
    const auto refused = [](const Model& model, const std::filesystem::path& path, const std::string& word) {
        test::expect_error(ErrorKind::kMalformed, {path.string(), word}, [&] { load_kept_adapter(model, path); });
    };
    refused(*base, write("a.gguf", {.architecture = "qwen2"}), "an adapter of a 'qwen2' model; expected one of llama");
    refused(*base, write("a.gguf", {.n_embd = 48}), "blk.0.attn_q.weight is 32 × 48; expected 32 × 32");
    refused(*kept, write("a.gguf", {.n_ff = 64}), "blk.1.ffn_down.weight is 32 × 64; expected 32 × 48");
    refused(*kept, write("a.gguf", {.n_head = 2}), "blk.0.attn_q.weight is 16 × 32; expected 32 × 32");
    refused(*kept, write("a.gguf", {.n_layer = 3}), "blk.2.attn_q.weight is 32 × 32; expected 0 × 0");
    EXPECT_FALSE(load_kept_adapter(*kept, std::nullopt));
    EXPECT_EQ(load_kept_adapter(*kept, write("a.gguf", {}))->matrices.size(), 14u);
}

}  // namespace
}  // namespace plasticity
