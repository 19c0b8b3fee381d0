// Hugging Face folders with weights in FP8: that they are read as what their codes stand for, however the scales lie.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "model/gguf_export.h"
#include "model/hf_export.h"
#include "support/expect_error.h"
#include "support/float8_reference.h"
#include "support/hf_folder.h"
#include "support/reference_model.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

using nlohmann::json;
using test::Fp8Layout;
using test::HfFolder;
using test::TempDir;

constexpr const char* kUp = "model.layers.1.mlp.up_proj.weight";

Progress& silence() {
    static const std::unique_ptr<Progress> progress = make_progress(ProgressStyle::kQuiet);
    return *progress;
}

json quantization_of(const Fp8Layout& layout) {
    json quantization{{"quant_method", "fp8"}, {"activation_scheme", "dynamic"}};
    if (layout.block_rows > 1) quantization["weight_block_size"] = {layout.block_rows, layout.block_cols};
    return quantization;
}

/// Turns the content to FP8 and says so. @returns what it stands for, in F32
HfFolder make_fp8(HfFolder& content, const Fp8Layout& layout) {
    HfFolder dequantized = turn_to_fp8(content, layout);
    if (!layout.scale_suffix.empty()) content.config["quantization_config"] = quantization_of(layout);
    return dequantized;
}

/// Matrices of 160, 300 and 80 rows and columns, of which 128 is no divisor.
HfFolder uneven_model(const TempDir& dir) {
    const auto model = open_model(test::write_tiny_gguf(
        dir / "tiny.gguf", {.n_embd = 160, .n_head = 4, .n_head_kv = 2, .head_dim = 40, .n_ff = 300}));
    export_hf(*model, {.folder = dir / "source", .dtype = "f32"}, silence());
    return test::load_folder(dir / "source");
}

const std::vector<std::pair<const char*, Fp8Layout>> kLayouts{
    {"blocks", {.block_rows = 24, .block_cols = 20}},
    {"blocks, E5M2", {.dtype = "F8_E5M2", .block_rows = 40, .block_cols = 128}},
    {"blocks, powers of two", {.block_rows = 24, .block_cols = 20, .scale_dtype = "F8_E8M0"}},
    {"rows", {.block_rows = 1, .block_cols = 0, .scale_suffix = "_scale", .scale_dtype = "BF16"}},
    {"rows, flat", {.block_rows = 1, .block_cols = 0, .scale_suffix = "_scale", .flat_scales = true}},
    {"tensor", {.block_rows = 0, .block_cols = 0, .scale_suffix = "_scale"}},
    {"tensor, flat, E5M2",
     {.dtype = "F8_E5M2", .block_rows = 0, .block_cols = 0, .scale_suffix = "_scale_inv", .flat_scales = true}},
    {"no scales", {.scale_suffix = ""}},
};

class Fp8Families : public testing::TestWithParam<const char*> {};

// phi3's fused matrices are taken apart in the midst of blocks; qwen3moe's experts become parts of one weight.
TEST_P(Fp8Families, AreReadAsWhatTheCodesStandFor) {
    const TempDir dir;
    const auto source = write_reference_folder(dir / "source", test::load_reference(GetParam()));
    for (const auto& [name, layout] : kLayouts) {
        SCOPED_TRACE(name);
        HfFolder content = test::load_folder(source);
        const HfFolder dequantized = make_fp8(content, layout);
        const auto model = open_model(write_folder(dir / "fp8", content));
        EXPECT_EQ(model_sha256(*model), model_sha256(*open_model(write_folder(dir / "f32", dequantized))));
    }
}

INSTANTIATE_TEST_SUITE_P(Reference, Fp8Families, testing::Values("llama", "phi3", "qwen3moe", "gemma3"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(Fp8Folder, BlocksAreCutAtTheEdges) {
    const TempDir dir;
    HfFolder content = uneven_model(dir);
    const HfFolder dequantized = make_fp8(content, {});
    EXPECT_EQ(content.tensors[std::string(kUp) + "_scale_inv"].shape, (std::vector<std::int64_t>{3, 2}));
    const auto model = open_model(write_folder(dir / "fp8", content));
    EXPECT_EQ(model_sha256(*model), model_sha256(*open_model(write_folder(dir / "f32", dequantized))));

    const ModelTensor& up = model->require({TensorRole::kUp, 1});
    const std::vector<float> whole = test::all_values(*model, up.id);
    for (const auto& [first, n] :
         {std::pair<std::int64_t, std::int64_t>{0, 1}, {127, 2}, {128, 128}, {255, 45}, {299, 1}}) {
        std::vector<float> rows(static_cast<std::size_t>(n * up.cols));
        model->read_rows_f32(up, first, n, rows);
        const auto begin = whole.begin() + first * up.cols;
        EXPECT_EQ(rows, std::vector<float>(begin, begin + n * up.cols)) << first;
    }
}

TEST(Fp8Folder, ScalesMayLieInOtherShards) {
    const TempDir dir;
    HfFolder content = uneven_model(dir);
    const HfFolder dequantized = make_fp8(content, {});
    const auto model = open_model(write_folder(dir / "fp8", content, 4));
    EXPECT_EQ(model->files().size(), 4u);
    EXPECT_EQ(model_sha256(*model), model_sha256(*open_model(write_folder(dir / "f32", dequantized))));
}

TEST(Fp8Folder, ScalesOfActivationsAreLeftOut) {
    const TempDir dir;
    HfFolder content = uneven_model(dir);
    const HfFolder dequantized = make_fp8(content, kLayouts[5].second);
    for (const char* name : {"mlp.up_proj.input_scale", "mlp.down_proj.activation_scale", "self_attn.k_scale",
                             "self_attn.v_scale", "self_attn.k_proj.output_scale", "mlp.up_proj.input_scale_ub"})
        content.tensors[std::string("model.layers.1.") + name] = {"F32", {1}, std::vector<std::byte>(4)};
    const auto model = open_model(write_folder(dir / "fp8", content));
    EXPECT_EQ(model_sha256(*model), model_sha256(*open_model(write_folder(dir / "f32", dequantized))));
}

// Gemma 3 stores norms minus 1; nothing forbids FP8 there.
TEST(Fp8Folder, OffsetsAreAddedToDecodedNorms) {
    const TempDir dir;
    HfFolder content = test::load_folder(write_reference_folder(dir / "source", test::load_reference("gemma3")));
    test::FolderTensor& norm = content.tensors.at("model.norm.weight");
    norm.dtype = "F8_E5M2";
    norm.bytes.resize(static_cast<std::size_t>(norm.shape[0]));
    for (std::size_t i = 0; i < norm.bytes.size(); ++i) norm.bytes[i] = static_cast<std::byte>(40 + i);
    const auto values = test::all_values(*open_model(write_folder(dir / "fp8", content)), {TensorRole::kOutputNorm});
    for (std::size_t i = 0; i < values.size(); ++i)
        EXPECT_EQ(values[i],
                  1 + static_cast<float>(test::float8_by_definition("F8_E5M2", static_cast<std::uint8_t>(40 + i))));
}

void set_scale(HfFolder& content, float value) {
    auto& bytes = content.tensors.at(std::string(kUp) + "_scale_inv").bytes;
    std::memcpy(bytes.data() + 4 * sizeof value, &value, sizeof value);
}

TEST(Fp8Folder, MalformedOnesAreRefused) {
    const TempDir dir;
    HfFolder good = uneven_model(dir);
    make_fp8(good, {});
    const std::string up = kUp, scale = up + "_scale_inv";
    const auto reshape = [&](std::vector<std::int64_t> shape) {
        return [=](HfFolder& content) { content.tensors.at(scale).shape = shape; };
    };
    const std::vector<std::pair<std::function<void(HfFolder&)>, std::vector<std::string>>> cases{
        {[&](HfFolder& content) { content.tensors.erase(scale); }, {up, "F8_E4M3 without a scale", "_scale_inv"}},
        {[&](HfFolder& content) { content.tensors.erase(up); },
         {scale, "does not hold", "blk.1.ffn_up.weight: missing"}},
        {[&](HfFolder& content) { content.tensors[up + "_scale"] = content.tensors.at(scale); },
         {scale, "scaled by", "too"}},
        {reshape({2, 3}), {scale, "got shape [2 × 3]; expected [3 × 2] (blocks of 128 × 128), one value or [300 × 1]"}},
        {reshape({6}), {"got shape [6]", "[300 × 160]"}},
        {reshape({3, 2, 1}), {"got shape [3 × 2 × 1]"}},
        {[&](HfFolder& content) { content.config["quantization_config"].erase("weight_block_size"); },
         {"got shape [3 × 2]; expected one value or [300 × 1]"}},
        {[&](HfFolder& content) { content.tensors.at(scale).dtype = "I32"; },
         {scale, "got dtype I32; expected F32, BF16"}},
        {[&](HfFolder& content) { content.tensors.at(up) = {"BF16", {300, 160}, std::vector<std::byte>(96000)}; },
         {scale, "scales a weight of dtype BF16"}},
        {[&](HfFolder& content) { content.tensors.at(up).dtype = "F8_E8M0"; }, {up, "got dtype F8_E8M0"}},
        {[&](HfFolder& content) { content.tensors.at(up).shape = {160, 300}; }, {"blk.1.ffn_up.weight: got shape"}},
        {[&](HfFolder& content) { set_scale(content, std::nanf("")); }, {scale, "got nan at index 4", "finite scales"}},
        {[&](HfFolder& content) { set_scale(content, -1.0f); }, {scale, "got -1 at index 4"}},
        {[&](HfFolder& content) { set_scale(content, HUGE_VALF); }, {scale, "got inf at index 4"}},
    };
    for (const auto& [spoil, expected] : cases) {
        SCOPED_TRACE(expected.back());
        HfFolder content = good;
        spoil(content);
        const auto folder = write_folder(dir / "fp8", content);
        test::expect_error(ErrorKind::kMalformed, expected, [&] { open_model(folder); });
    }
}

TEST(Fp8Folder, CodesThatAreNoNumbersAreNamed) {
    const TempDir dir;
    for (const auto& [dtype, code] :
         {std::pair{"F8_E4M3", 0x7F}, {"F8_E4M3", 0xFF}, {"F8_E5M2", 0x7C}, {"F8_E5M2", 0xFE}}) {
        SCOPED_TRACE(code);
        HfFolder content = uneven_model(dir);
        make_fp8(content, {.dtype = dtype});
        content.tensors.at(kUp).bytes[200 * 160 + 9] = static_cast<std::byte>(code);
        const auto model = open_model(write_folder(dir / "fp8", content));
        test::expect_error(ErrorKind::kMalformed, {"blk.1.ffn_up.weight, row 200, column 9", "finite weights"},
                           [&] { export_gguf(*model, {.file = dir / "out.gguf", .type = "f16"}, silence()); });
        EXPECT_FALSE(std::filesystem::exists(dir / "out.gguf"));
        std::filesystem::remove_all(dir / "source");
    }
}

}  // namespace
}  // namespace plasticity
