// A real model in the form of DeepSeek's and Qwen's FP8 checkpoints, compressed straight from its folder.

#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "integration/real_model.h"
#include "model/hf_export.h"
#include "plasticity/compress.h"
#include "support/hf_folder.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

fs::path write_beside(const fs::path& source, const fs::path& folder, const test::HfFolder& content, int n_shards) {
    write_folder(folder, content, n_shards);
    for (const auto& entry : fs::directory_iterator(source))  // the tokenizer's
        if (entry.path().filename() != "config.json" && entry.path().extension() != ".safetensors")
            fs::copy_file(entry.path(), folder / entry.path().filename());
    return folder;
}

std::unique_ptr<Model> compress_to_q8_0(const fs::path& folder, const fs::path& output) {
    const Recipe recipe =
        test::tiny_recipe(*open_model(folder), {.type = GGML_TYPE_Q8_0, .embedding_type = GGML_TYPE_Q8_0});
    compress({.model = folder, .output = output}, recipe, test::quiet());
    return open_model(output);
}

/// Root of Σ (a − b)² ÷ Σ b² over a matrix.
double relative_error(const Model& a, const Model& b, const TensorId& id) {
    const std::vector<float> of_a = test::all_values(a, id), of_b = test::all_values(b, id);
    double error = 0, all = 0;
    for (std::size_t i = 0; i < of_b.size(); ++i) {
        error += std::pow(double{of_a[i]} - of_b[i], 2);
        all += std::pow(double{of_b[i]}, 2);
    }
    return std::sqrt(error / all);
}

/// Three mantissa bits leave a weight with an error of up to 1/16, of either sign: with mantissas spread evenly,
/// 1/8/√12 of the power of two below it, some 2.6 % of the weights' root mean square; a wrong scale of any block is
/// more. The model hardly notices: on ten texts of 1 to 4 thousand tokens its perplexity was 0.985 to 1.033 of that
/// from BF16.
TEST(Fp8Model, BecomesTheQ8OfWhatItsCodesStandFor) {
    const test::TempDir dir;
    export_hf(*open_model(test::smollm2()), {.folder = dir / "bf16"}, test::quiet());
    test::HfFolder content = test::load_folder(dir / "bf16");
    const test::HfFolder dequantized = turn_to_fp8(content, {});
    content.config["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}};
    write_beside(dir / "bf16", dir / "fp8", content, 3);
    write_beside(dir / "bf16", dir / "f32", dequantized, 1);

    const auto from_fp8 = compress_to_q8_0(dir / "fp8", dir / "fp8.gguf");
    const auto from_f32 = compress_to_q8_0(dir / "f32", dir / "f32.gguf");
    EXPECT_EQ(model_sha256(*from_fp8), model_sha256(*from_f32));
    EXPECT_EQ(from_fp8->require({TensorRole::kDown, 3}).type, GGML_TYPE_Q8_0);

    const EvaluationText text = test::source_text(*from_fp8, 2);
    const auto from_bf16 = compress_to_q8_0(dir / "bf16", dir / "bf16.gguf");
    for (const TensorRole role : {TensorRole::kQuery, TensorRole::kGate, TensorRole::kDown})
        EXPECT_NEAR(relative_error(*from_fp8, *from_bf16, {role, 3}), 0.026, 0.003) << gguf_name({role, 3});
    const double ratio = test::own_perplexity(*from_fp8, text) / test::own_perplexity(*from_bf16, text);
    EXPECT_NEAR(ratio, 1, 0.04);
    EXPECT_NE(model_sha256(*from_fp8), model_sha256(*from_bf16)) << "the comparison compares nothing";
    std::cout << "perplexity of Q8_0 from FP8 is " << ratio << " of that from BF16\n";
    RecordProperty("perplexity_ratio", std::to_string(ratio));
}

}  // namespace
}  // namespace plasticity
