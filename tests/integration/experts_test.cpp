// A mixture of experts: planned, compressed and checked by this program, run by stock llama.cpp.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "artifact/gate_gradients.h"
#include "artifact/recipe.h"
#include "artifact/report.h"
#include "core/error.h"
#include "core/progress.h"
#include "engine/decoder.h"
#include "integration/stock_engine.h"
#include "model/gguf_export.h"
#include "plasticity/compress.h"
#include "plasticity/plan.h"
#include "plasticity/verify.h"
#include "support/reference_model.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

class Experts : public testing::Test {
protected:
    Experts() : folder_(write_reference_folder(dir_ / "hf", reference_)) {}

    /// Largest difference between recorded logits and those of stock llama.cpp with a cache of F32.
    double stock_difference(const std::filesystem::path& path) const {
        test::StockEngine stock(path, 64, GGML_TYPE_F32);
        double largest = 0;
        stock.feed(reference_.tokens, 0, [&](std::int32_t position, std::span<const float> row) {
            const auto at = std::ranges::find(reference_.positions, position) - reference_.positions.begin();
            if (at == std::ssize(reference_.positions)) return;
            for (std::size_t id = 0; id < row.size(); ++id)
                largest = std::max(largest, std::fabs(static_cast<double>(row[id]) -
                                                      reference_.logits[static_cast<std::size_t>(at)][id]));
        });
        return largest;
    }

    std::filesystem::path write_scores() const {
        const Architecture architecture = open_model(folder_)->architecture();
        GateGradients scores;
        scores.model_name = "reference";
        scores.num_steps = scores.num_tokens = 1;
        scores.num_heads = architecture.layers.front().n_head;
        scores.num_kv_heads = architecture.layers.front().n_head_kv;
        for (const LayerGeometry& layer : architecture.layers) {
            scores.layer_kv_heads.push_back(layer.n_head_kv);
            auto& sums = scores.absolute_sums.emplace_back();
            for (std::int32_t head = 0; head < layer.n_head; ++head) sums.push_back(1.0 + head);
            scores.signed_sums.push_back(sums);
            scores.moving_averages.push_back(sums);
        }
        save_gate_gradients(scores, dir_ / "scores.json", Overwrite::kReplace);
        return dir_ / "scores.json";
    }

    test::TempDir dir_;
    test::ReferenceModel reference_ = test::load_reference("qwen3moe");
    std::filesystem::path folder_;
    std::unique_ptr<Progress> quiet_ = make_progress(ProgressStyle::kQuiet);
};

TEST_F(Experts, AreJoinedAsStockExpectsThem) {
    export_gguf(*open_model(folder_), {.file = dir_ / "model.gguf", .type = "f32"}, *quiet_);
    EXPECT_LT(stock_difference(dir_ / "model.gguf"), 1e-3);
    const auto file = open_model(dir_ / "model.gguf");
    EXPECT_EQ(model_sha256(*file), model_sha256(*open_model(folder_)));
    EXPECT_EQ(file->require({TensorRole::kExpertDowns, 1}).n_matrices, 4);
}

TEST_F(Experts, ArePlannedCompressedAndVerified) {
    PlanOptions options{.model = folder_, .scores = write_scores()};
    options.target_bits_per_weight = 9;
    options.policy = "tiers";
    options.prune.kind = PruneRequest::Kind::kOff;
    const Recipe recipe = plan(options, *quiet_);
    EXPECT_EQ(recipe.output_architecture, "qwen3moe");
    EXPECT_TRUE(recipe.stock);

    compress({.model = folder_, .output = dir_ / "small.gguf"}, recipe, *quiet_);
    const auto small = open_model(dir_ / "small.gguf");
    EXPECT_TRUE(ggml_is_quantized(small->require({TensorRole::kExpertUps, 0}).type));
    EXPECT_EQ(small->require({TensorRole::kRouter, 0}).type, GGML_TYPE_F32);
    VerifyOptions verification;
    verification.model = dir_ / "small.gguf";
    verification.base = folder_;
    EXPECT_TRUE(verify(verification, *quiet_).passed());
    // Some 9 bits per weight on logits of unit size.
    EXPECT_LT(stock_difference(dir_ / "small.gguf"), 0.3);
}

TEST_F(Experts, AreNotRunHere) {
    try {
        Decoder(*open_model(folder_), {}, *quiet_);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kUsage);
        EXPECT_NE(std::string(error.what()).find("mixture of experts"), std::string::npos) << error.what();
    }
}

}  // namespace
}  // namespace plasticity
