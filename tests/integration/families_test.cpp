// Every family's GGUF in stock libllama: the same logits as in the own engine.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/progress.h"
#include "engine/decoder.h"
#include "integration/stock_engine.h"
#include "model/gguf_export.h"
#include "plasticity/compress.h"
#include "support/reference_model.h"
#include "support/temp_dir.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

using test::ReferenceModel;
using test::TempDir;

class StockFamilies : public testing::TestWithParam<const char*> {};

/// Largest difference between the logits of the own engine and of stock libllama, over all positions of the recording.
double stock_difference(const std::filesystem::path& path, const ReferenceModel& reference, Progress& progress) {
    Decoder own(*open_model(path), {.context_length = 64, .threads = 1}, progress);
    std::vector<std::vector<float>> rows;
    own.feed(reference.tokens, 0,
             [&](std::int32_t, std::span<const float> row) { rows.emplace_back(row.begin(), row.end()); });
    test::StockEngine stock(path, 64);
    double largest = 0;
    std::size_t n_rows = 0;
    stock.feed(reference.tokens, 0, [&](std::int32_t position, std::span<const float> row) {
        const std::vector<float>& mine = rows.at(static_cast<std::size_t>(position));
        ASSERT_EQ(row.size(), mine.size());
        ++n_rows;
        for (std::size_t id = 0; id < row.size(); ++id)
            largest = std::max(largest, std::fabs(static_cast<double>(row[id]) - mine[id]));
    });
    EXPECT_EQ(n_rows, reference.tokens.size());
    return largest;
}

// Stock may choose other kernels for the same sums; it keeps keys and values in F16 as the own engine does.
TEST_P(StockFamilies, LogitsAreThoseOfTheOwnEngine) {
    const TempDir dir;
    const auto quiet = make_progress(ProgressStyle::kQuiet);
    const ReferenceModel reference = test::load_reference(GetParam());
    const auto folder = write_reference_folder(dir / "hf", reference);
    export_gguf(*open_model(folder), {.file = dir / "model.gguf", .type = "f32"}, *quiet);
    const double largest = stock_difference(dir / "model.gguf", reference, *quiet);
    EXPECT_LT(largest, 1e-3);
    std::cout << "largest difference of logits, " << GetParam() << ": " << largest << "\n";
}

TEST_P(StockFamilies, RunPrunedAlikeInEveryBlock) {
    const TempDir dir;
    const auto quiet = make_progress(ProgressStyle::kQuiet);
    const ReferenceModel reference = test::load_reference(GetParam());
    const auto base = open_model(write_reference_folder(dir / "hf", reference));
    test::TinyRecipeOptions options{.type = GGML_TYPE_F32, .embedding_type = GGML_TYPE_F32};
    for (std::int32_t layer = 0; layer < base->architecture().n_layer(); ++layer)
        options.kept_heads.push_back(layer % 2 == 0 ? std::vector<std::int32_t>{0, 1}
                                                    : std::vector<std::int32_t>{2, 3});
    const Recipe recipe = test::tiny_recipe(*base, options);
    compress({.model = dir / "hf", .output = dir / "pruned.gguf"}, recipe, *quiet);
    const auto pruned = open_model(dir / "pruned.gguf");
    EXPECT_EQ(pruned->architecture().name, base->architecture().name == "qwen2" ? "deci" : base->architecture().name);
    EXPECT_EQ(pruned->architecture().layers.front().n_head, 2);
    EXPECT_LT(stock_difference(dir / "pruned.gguf", reference, *quiet), 1e-3);
}

/// What the family allows of it: logits as before in the own engine, and as there in stock libllama.
TEST_P(StockFamilies, ComputeTheSamePaddedWithZeros) {
    const TempDir dir;
    const auto quiet = make_progress(ProgressStyle::kQuiet);
    const ReferenceModel reference = test::load_reference(GetParam());
    const auto base = open_model(write_reference_folder(dir / "hf", reference));
    const Architecture& architecture = base->architecture();
    const LayerGeometry& layer = architecture.layers.front();
    Padding padding{
        .width = 2 * architecture.n_embd, .heads = layer.n_head + layer.n_head_kv, .feed_forward = layer.n_ff + 8};
    if (padding_obstacle(architecture, padding)) padding.width = 0;
    EXPECT_EQ(padding_obstacle(architecture, padding), std::nullopt);
    EXPECT_EQ(padding.width == 0, architecture.name == "gemma3" || architecture.name == "qwen3");

    test::TinyRecipeOptions options{.type = GGML_TYPE_F32, .embedding_type = GGML_TYPE_F32};
    compress({.model = dir / "hf", .output = dir / "plain.gguf"}, test::tiny_recipe(*base, options), *quiet);
    options.padding = padding;
    compress({.model = dir / "hf", .output = dir / "padded.gguf"}, test::tiny_recipe(*base, options), *quiet);
    const auto logits = [&](const char* name) {
        Decoder own(*open_model(dir / name), {.context_length = 64, .exact = true, .threads = 1}, *quiet);
        std::vector<float> rows;
        own.feed(reference.tokens, 0,
                 [&](std::int32_t, std::span<const float> row) { rows.insert(rows.end(), row.begin(), row.end()); });
        return rows;
    };
    const std::vector<float> plain = logits("plain.gguf"), padded = logits("padded.gguf");
    ASSERT_EQ(plain.size(), padded.size());
    double largest = 0;
    for (std::size_t i = 0; i < plain.size(); ++i)
        largest = std::max(largest, std::fabs(static_cast<double>(plain[i]) - padded[i]));
    const double in_stock = stock_difference(dir / "padded.gguf", reference, *quiet);
    std::cout << "padded to " << padding_text(padding) << ", logits differ by " << largest << ", in stock by "
              << in_stock << "\n";
    EXPECT_LT(largest, 2e-5);  // sums over more channels are taken in another order
    EXPECT_LT(in_stock, 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Reference, StockFamilies,
                         testing::Values("llama", "mistral", "qwen2", "qwen3", "granite", "smollm3", "gemma3", "phi3"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace plasticity
