// An adapter that is merged into the weights on their way into the file.

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "artifact/adapted_model.h"
#include "artifact/peft_folder.h"
#include "artifact/recipe.h"
#include "core/progress.h"
#include "model/model.h"
#include "plasticity/compress.h"
#include "support/random_adapter.h"
#include "support/temp_dir.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

TEST(CompressAdapter, WritesWhatTheAdaptedModelReadsAs) {
    const test::TempDir dir;
    const fs::path source = test::write_tiny_gguf(dir / "m.gguf"), output = dir / "out.gguf", folder = dir / "adapter";
    const auto base = open_model(source);
    save_peft_folder(test::random_adapter(base->architecture()), base->architecture(), folder, Overwrite::kRefuse);
    const auto progress = make_progress(ProgressStyle::kQuiet);
    const Recipe recipe = test::tiny_recipe(*base, {.type = GGML_TYPE_F16, .embedding_type = GGML_TYPE_F16});
    const CompressResult done =
        compress({.model = source, .output = output, .adapter = folder, .threads = 1}, recipe, *progress);
    EXPECT_EQ(done.sources.back().name, "adapter_model.safetensors");
    EXPECT_EQ(fs::file_size(output), recipe.budget.file_bytes);

    const auto written = open_model(output), merged = open_model(source, std::optional(folder));
    for (const ModelTensor& tensor : merged->tensors()) {
        const std::vector<float> wanted = test::all_values(*merged, tensor.id),
                                 got = test::all_values(*written, tensor.id);
        ASSERT_EQ(got.size(), wanted.size()) << tensor.name;
        for (std::size_t i = 0; i < got.size(); ++i)  // F16 keeps 11 bits
            ASSERT_NEAR(got[i], wanted[i], 0x1p-11 * std::abs(wanted[i]) + 1e-7) << tensor.name;
    }
    EXPECT_NE(test::all_values(*written, {TensorRole::kValue, 0}), test::all_values(*base, {TensorRole::kValue, 0}));
}

// Blocks that keep their type are copied; those of an adapted matrix must not be.
TEST(CompressAdapter, QuantisesAnewWhatHadTheTypeAlready) {
    const test::TempDir dir;
    const fs::path source = test::write_tiny_gguf(dir / "m.gguf", {.n_ff = 64, .matrix_type = GGML_TYPE_Q8_0});
    const auto base = open_model(source);
    const fs::path folder = dir / "adapter";
    const std::array roles{TensorRole::kQuery};
    save_peft_folder(test::random_adapter(base->architecture(), 3, 0.2f, roles), base->architecture(), folder,
                     Overwrite::kRefuse);
    const auto progress = make_progress(ProgressStyle::kQuiet);
    const Recipe recipe = test::tiny_recipe(*base, {.type = GGML_TYPE_Q8_0, .embedding_type = GGML_TYPE_Q8_0});
    compress({.model = source, .output = dir / "out.gguf", .adapter = folder, .threads = 1}, recipe, *progress);
    const auto written = open_model(dir / "out.gguf");
    EXPECT_EQ(written->require({TensorRole::kQuery, 0}).type, GGML_TYPE_Q8_0);
    EXPECT_NE(test::all_values(*written, {TensorRole::kQuery, 0}), test::all_values(*base, {TensorRole::kQuery, 0}));
    EXPECT_EQ(test::all_values(*written, {TensorRole::kKey, 0}), test::all_values(*base, {TensorRole::kKey, 0}));
}

}  // namespace
}  // namespace plasticity
