// The own engine against transformers, family by family: logits, loss and gate gradients of tiny random models, from
// the folder and from the GGUF that it becomes.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/backpropagation.h"
#include "engine/engine_support.h"
#include "model/gguf_export.h"
#include "model/hf_export.h"
#include "support/reference_model.h"

namespace plasticity {
namespace {

using test::load_reference;
using test::quiet;
using test::ReferenceModel;
using test::TempDir;

class Families : public testing::TestWithParam<const char*> {
protected:
    Families() : reference_(load_reference(GetParam())), folder_(write_reference_folder(dir_ / "hf", reference_)) {}

    std::filesystem::path export_as_gguf() const {
        export_gguf(*open_model(folder_), {.file = dir_ / "model.gguf", .type = "f32"}, quiet());
        return dir_ / "model.gguf";
    }

    void expect_same_logits(const std::filesystem::path& path, std::size_t step) const {
        Decoder decoder(*open_model(path), {.context_length = 64, .exact = true, .threads = 1}, quiet());
        const auto logits = test::logits_of(decoder, reference_.tokens, step);
        ASSERT_EQ(logits.size(), reference_.tokens.size());
        double largest = 0;
        for (std::size_t i = 0; i < reference_.positions.size(); ++i) {
            const auto& got = logits[static_cast<std::size_t>(reference_.positions[i])];
            ASSERT_EQ(got.size(), reference_.logits[i].size());
            for (std::size_t id = 0; id < got.size(); ++id)
                largest = std::max(largest, std::fabs(static_cast<double>(got[id]) - reference_.logits[i][id]));
        }
        EXPECT_LT(largest, 1e-3) << path;
        RecordProperty("largest_logit_difference", std::to_string(largest));
    }

    TempDir dir_;
    ReferenceModel reference_;
    std::filesystem::path folder_;
};

TEST_P(Families, LogitsFromTheFolderAreThoseOfTransformers) {
    expect_same_logits(folder_, reference_.tokens.size());
}

TEST_P(Families, LogitsTokenByTokenAreTheSame) {
    expect_same_logits(folder_, 1);
}

TEST_P(Families, LogitsFromTheGgufAreThoseOfTransformers) {
    expect_same_logits(export_as_gguf(), 7);
}

/// Those whose config.json can be written again: the recording of llama has RoPE factors that no published model has.
class ExportedFamilies : public Families {};

TEST_P(ExportedFamilies, TheFolderSurvivesTheWayThroughGguf) {
    const auto file = open_model(export_as_gguf());
    export_hf(*file, {.folder = dir_ / "back", .dtype = "f32"}, quiet());
    expect_same_logits(dir_ / "back", reference_.tokens.size());
    export_gguf(*open_model(dir_ / "back"), {.file = dir_ / "again.gguf", .type = "f32"}, quiet());
    // A norm stored minus 1 loses bits that F32 has no room for.
    if (reference_.name == "gemma3") return;
    EXPECT_EQ(model_sha256(*open_model(dir_ / "again.gguf")), model_sha256(*file));
}

// PyTorch sums in F32 too; gates are sums that cancel, so they are compared with the largest of their block.
TEST_P(Families, GateGradientsAreThoseOfAutograd) {
    Backpropagation engine(*open_model(folder_), {.precision = WeightPrecision::kF32, .threads = 1}, quiet());
    const Example example{.tokens = reference_.tokens,
                          .targets = std::vector<std::uint8_t>(reference_.tokens.size(), 1)};
    const ExampleGradients got = engine.run(example, {});
    EXPECT_NEAR(got.loss, reference_.loss, 1e-5);
    ASSERT_EQ(got.gates.size(), reference_.gates.size());
    for (std::size_t layer = 0; layer < got.gates.size(); ++layer) {
        ASSERT_EQ(got.gates[layer].size(), reference_.gates[layer].size());
        double largest = 0;
        for (const double gate : reference_.gates[layer]) largest = std::max(largest, std::fabs(gate));
        for (std::size_t head = 0; head < got.gates[layer].size(); ++head)
            EXPECT_NEAR(got.gates[layer][head], reference_.gates[layer][head], 2e-3 * largest)
                << "layer " << layer << ", head " << head;
    }
}

std::string family_of(const testing::TestParamInfo<const char*>& instance) {
    return instance.param;
}

INSTANTIATE_TEST_SUITE_P(Reference, Families,
                         testing::Values("llama", "mistral", "qwen2", "qwen3", "granite", "smollm3", "gemma3", "phi3"),
                         family_of);
INSTANTIATE_TEST_SUITE_P(Reference, ExportedFamilies,
                         testing::Values("mistral", "qwen2", "qwen3", "granite", "smollm3", "gemma3", "phi3"),
                         family_of);

}  // namespace
}  // namespace plasticity
