#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/safetensors_reader.h"
#include "io/safetensors_writer.h"
#include "model/gguf_export.h"
#include "model/hf_export.h"
#include "model/rope_factors.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

using nlohmann::json;
using test::all_values;
using test::TempDir;
using test::write_tiny_gguf;

std::unique_ptr<Progress> quiet() {
    return make_progress(ProgressStyle::kQuiet);
}

std::filesystem::path export_folder(const TempDir& dir, const Model& model, HfExportOptions options = {}) {
    if (options.folder.empty()) options.folder = dir / "hf";
    export_hf(model, options, *quiet());
    return options.folder;
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
}

json read_json(const std::filesystem::path& path) {
    return json::parse(read_text_file(path));
}

template <typename Action>
ErrorKind kind_of(Action&& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.kind();
    }
    ADD_FAILURE() << "nothing was thrown";
    return ErrorKind::kInternal;
}

TEST(ExportHf, WritesTheWholeFolder) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf"));
    const auto folder = export_folder(dir, *model);
    EXPECT_EQ(names_in(folder),
              (std::vector<std::string>{"chat_template.jinja", "config.json", "generation_config.json",
                                        "model.safetensors", "tokenizer.json", "tokenizer_config.json"}));
    const json config = read_json(folder / "config.json");
    EXPECT_EQ(config["model_type"], "llama");
    EXPECT_EQ(config["torch_dtype"], "bfloat16");
    EXPECT_EQ(config["eos_token_id"], test::kTinyMessageEnd);
    EXPECT_EQ(SafetensorsReader(folder / "model.safetensors").find("lm_head.weight"), nullptr);
    EXPECT_EQ(names_in(dir.path()), (std::vector<std::string>{"hf", "tiny.gguf"}));  // no staging folder is left
}

// Row 1 of a head in NEOX order is the second pair's first half: row 2 in NORM order.
TEST(ExportHf, TurnsQueriesAndKeysToNeox) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf", {.qkv_biases = 1}));
    const auto folder = open_model(export_folder(dir, *model, {.dtype = "f32"}));
    for (const TensorRole role : {TensorRole::kQuery, TensorRole::kKey}) {
        const std::int64_t cols = model->require({role, 1}).cols, dim = model->architecture().head_dim;
        const auto norm = all_values(*model, {role, 1}), neox = all_values(*folder, {role, 1});
        const auto norm_bias = all_values(*model, {role, 1, true}), neox_bias = all_values(*folder, {role, 1, true});
        for (std::int64_t head = 0; head < model->require({role, 1}).rows / dim; ++head) {
            EXPECT_EQ(neox[(head * dim + 1) * cols + 5], norm[(head * dim + 2) * cols + 5]);
            EXPECT_EQ(neox[(head * dim + dim / 2) * cols], norm[(head * dim + 1) * cols]);
            EXPECT_EQ(neox_bias[head * dim + 1], norm_bias[head * dim + 2]);
        }
    }
    for (const TensorRole role : {TensorRole::kValue, TensorRole::kAttentionOutput, TensorRole::kDown})
        EXPECT_EQ(all_values(*folder, {role, 1}), all_values(*model, {role, 1}));
    EXPECT_EQ(read_json(dir / "hf" / "config.json")["model_type"], "qwen2");  // the family with biases
}

class ExportThereAndBack : public testing::TestWithParam<test::TinyModelOptions> {};

TEST_P(ExportThereAndBack, KeepsEveryWeight) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf", GetParam()));
    const auto folder = open_model(export_folder(dir, *model, {.dtype = "f32", .shard_bytes = 20'000}));
    export_gguf(*folder, {.file = dir / "back.gguf", .type = "f32"}, *quiet());
    const auto back = open_model(dir / "back.gguf");
    EXPECT_EQ(model_sha256(*back), model_sha256(*model));
    EXPECT_EQ(back->architecture().name, model->architecture().name);
    EXPECT_EQ(back->architecture().layers, model->architecture().layers);
    EXPECT_EQ(back->architecture().tied_embeddings, model->architecture().tied_embeddings);
    EXPECT_EQ(back->general().text("general.name"), "tiny");
}

INSTANTIATE_TEST_SUITE_P(Families, ExportThereAndBack,
                         testing::Values(test::TinyModelOptions{}, test::TinyModelOptions{.n_layer = 3, .tied = false},
                                         test::TinyModelOptions{.architecture = "qwen2"},
                                         test::TinyModelOptions{.n_head = 6, .n_head_kv = 3, .head_dim = 16}));

TEST(ExportHf, SplitsIntoShardsThatTheIndexNames) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf"));
    const auto folder = export_folder(dir, *model, {.dtype = "f16", .shard_bytes = 20'000});
    const json index = read_json(folder / "model.safetensors.index.json");
    std::uint64_t bytes = 0;
    for (const ModelTensor& tensor : model->tensors()) {
        const auto name = hf_name(tensor.id);
        ASSERT_TRUE(index["weight_map"].contains(name)) << name;
        const SafetensorsReader shard(folder / index["weight_map"][name].get<std::string>());
        ASSERT_TRUE(shard.find(name)) << name;
        bytes += shard.find(name)->bytes;
    }
    EXPECT_EQ(index["metadata"]["total_size"], bytes);
    EXPECT_TRUE(std::filesystem::exists(folder / "model-00001-of-00003.safetensors"));
}

TEST(ExportHf, RoundsToTheDtype) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf"));
    const auto exact = all_values(*model, {TensorRole::kUp, 0});
    for (const auto& [dtype, relative_step] : {std::pair{"bf16", 0x1p-8}, {"f16", 0x1p-11}}) {
        const auto folder = open_model(export_folder(dir, *model, {.folder = dir / dtype, .dtype = dtype}));
        const auto rounded = all_values(*folder, {TensorRole::kUp, 0});
        for (std::size_t i = 0; i < exact.size(); ++i)  // half a step, and 2^-25 where f16 runs out of exponent
            ASSERT_NEAR(rounded[i], exact[i], std::abs(exact[i]) * relative_step + 0x1p-25) << dtype << " " << i;
    }
}

TEST(ExportHf, SaysRopeFrequenciesInConfig) {
    const TempDir dir;
    const Llama3Rope rope{.factor = 32};
    auto layout = test::tiny_layout();
    layout.metadata.set("llama.rope.freq_base", 500000.0f);
    layout.tensors.push_back({.name = "rope_freqs.weight", .dims = {4, 1, 1, 1}});
    GgufWriter writer(dir / "tiny.gguf", layout, Overwrite::kRefuse);
    for (const GgufTensorSpec& tensor : layout.tensors) {
        const auto values = tensor.name == "rope_freqs.weight" ? rope_frequency_factors(rope, 500000.0f, 8)
                                                               : test::tiny_weights(tensor, 1);
        writer.write(tensor.name, std::as_bytes(std::span(values)));
    }
    writer.finish();

    const auto model = open_model(dir / "tiny.gguf");
    const auto folder = open_model(export_folder(dir, *model));
    EXPECT_EQ(read_json(dir / "hf" / "config.json")["rope_scaling"]["rope_type"], "llama3");
    EXPECT_EQ(all_values(*folder, {TensorRole::kRopeFrequencies}), all_values(*model, {TensorRole::kRopeFrequencies}));
}

TEST(ExportHf, RefusesWhatConfigCannotSay) {
    const TempDir dir;
    const auto model =
        open_model(write_tiny_gguf(dir / "d.gguf", {.architecture = "deci", .layers = {{4, 2, 48}, {2, 1, 48}}}));
    EXPECT_EQ(kind_of([&] { export_folder(dir, *model); }), ErrorKind::kUsage);
    EXPECT_EQ(kind_of([&] { export_folder(dir, *model, {.dtype = "q4_0"}); }), ErrorKind::kUsage);
    EXPECT_EQ(names_in(dir.path()), (std::vector<std::string>{"d.gguf"}));
}

TEST(ExportHf, NamesAWeightThatIsNotFiniteAndLeavesNothing) {
    const TempDir dir;
    auto layout = test::tiny_layout();
    GgufWriter writer(dir / "nan.gguf", layout, Overwrite::kRefuse);
    for (const GgufTensorSpec& tensor : layout.tensors) {
        auto values = test::tiny_weights(tensor, 1);
        if (tensor.name == "blk.1.ffn_gate.weight") values[32 * 3 + 7] = std::numeric_limits<float>::quiet_NaN();
        writer.write(tensor.name, std::as_bytes(std::span(values)));
    }
    writer.finish();
    try {
        export_folder(dir, *open_model(dir / "nan.gguf"));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
        EXPECT_NE(std::string(error.what()).find("blk.1.ffn_gate.weight, row 3, column 7"), std::string::npos);
    }
    EXPECT_EQ(names_in(dir.path()), (std::vector<std::string>{"nan.gguf"}));
}

TEST(ExportHf, ReplacesOnlyModelFoldersAndOnlyWhenTold) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf"));
    const auto folder = export_folder(dir, *model, {.dtype = "f32", .shard_bytes = 20'000});
    EXPECT_EQ(kind_of([&] { export_folder(dir, *model); }), ErrorKind::kUsage);

    export_folder(dir, *model, {.overwrite = Overwrite::kReplace});
    EXPECT_FALSE(std::filesystem::exists(folder / "model.safetensors.index.json"));  // of the previous export
    EXPECT_EQ(names_in(dir.path()), (std::vector<std::string>{"hf", "tiny.gguf"}));

    std::ofstream(folder / "thesis.txt") << "years of work";
    EXPECT_EQ(kind_of([&] { export_folder(dir, *model, {.overwrite = Overwrite::kReplace}); }), ErrorKind::kUsage);
    EXPECT_TRUE(std::filesystem::exists(folder / "thesis.txt"));
}

TEST(Export, NeverWritesOntoItsSource) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf"));
    EXPECT_EQ(
        kind_of([&] { export_gguf(*model, {.file = dir / "tiny.gguf", .overwrite = Overwrite::kReplace}, *quiet()); }),
        ErrorKind::kUsage);
    const auto folder = open_model(export_folder(dir, *model));
    EXPECT_EQ(kind_of([&] { export_folder(dir, *folder, {.overwrite = Overwrite::kReplace}); }), ErrorKind::kUsage);
    EXPECT_TRUE(folder->reads_from(dir / "hf" / "tokenizer.json"));
}

TEST(ExportGguf, KeepsStoredTypesAndBytes) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "q8.gguf", {.n_ff = 64, .matrix_type = GGML_TYPE_Q8_0}));
    export_gguf(*model, {.file = dir / "copy.gguf"}, *quiet());
    const auto copy = open_model(dir / "copy.gguf");
    EXPECT_EQ(model_sha256(*copy), model_sha256(*model));
    EXPECT_EQ(copy->require({TensorRole::kGate, 0}).type, GGML_TYPE_Q8_0);
}

TEST(ExportGguf, KeepsPaddedColumnsOfStoredTypesOnly) {
    const TempDir dir;
    GgufLayout layout = test::tiny_layout();
    for (GgufTensorSpec& tensor : layout.tensors)
        if (tensor.name.ends_with("attn_q.weight")) {
            tensor.type = GGML_TYPE_Q6_K;
            tensor.dims[0] = 256;
        }
    layout.metadata.set("continuum.padded_columns", true);
    const auto model = open_model(test::write_tiny_layout(dir / "in.gguf", layout));
    export_gguf(*model, {.file = dir / "stored.gguf", .type = "stored"}, *quiet());
    const auto stored = open_model(dir / "stored.gguf");
    EXPECT_EQ(stored->require({TensorRole::kQuery, 1}).row_length(), 256);
    EXPECT_EQ(model_sha256(*stored), model_sha256(*model));
    export_gguf(*model, {.file = dir / "f32.gguf", .type = "f32"}, *quiet());
    const auto f32 = open_model(dir / "f32.gguf");
    EXPECT_EQ(f32->require({TensorRole::kQuery, 1}).row_length(), 32);
    EXPECT_EQ(all_values(*f32, {TensorRole::kQuery, 1}), all_values(*model, {TensorRole::kQuery, 1}));
}

TEST(ExportGguf, KeepsVectorsInF32) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf", {.architecture = "qwen2"}));
    export_gguf(*model, {.file = dir / "half.gguf", .type = "f16"}, *quiet());
    const auto half = open_model(dir / "half.gguf");
    for (const ModelTensor& tensor : half->tensors())
        EXPECT_EQ(tensor.type, tensor.is_vector ? GGML_TYPE_F32 : GGML_TYPE_F16) << tensor.name;
}

// Stock llama.cpp's qwen2 wants heads that fill the width; deci takes any.
TEST(ExportGguf, MakesAPrunedQwen2ADeci) {
    const TempDir dir;
    const auto model = open_model(
        write_tiny_gguf(dir / "tiny.gguf", {.architecture = "qwen2", .n_head = 2, .n_head_kv = 1, .head_dim = 8}));
    export_gguf(*model, {.file = dir / "deci.gguf", .type = "f32"}, *quiet());
    const auto deci = open_model(dir / "deci.gguf");
    EXPECT_EQ(deci->architecture().name, "deci");
    EXPECT_EQ(deci->architecture().rope_layout, RopeLayout::kNorm);
    const auto neox = all_values(*model, {TensorRole::kQuery, 0, true});
    const auto norm = all_values(*deci, {TensorRole::kQuery, 0, true});
    EXPECT_EQ(norm[1], neox[4]);
    EXPECT_EQ(norm[2], neox[1]);
}

TEST(OpenFolder, RefusesWeightsThatDoNotFit) {
    const TempDir dir;
    const auto model = open_model(write_tiny_gguf(dir / "tiny.gguf"));
    const auto folder = export_folder(dir, *model, {.dtype = "f32"});
    json config = read_json(folder / "config.json");
    const std::vector<std::pair<json, std::string>> cases{
        {{{"intermediate_size", 64}}, "blk.0.ffn_gate.weight: got shape [48 × 32]; expected [64 × 32]"},
        {{{"num_hidden_layers", 3}}, "blk.2.attn_norm.weight: missing"},
        {{{"tie_word_embeddings", false}}, "output.weight: missing"},
        {{{"vocab_size", 263}}, "token_embd.weight: got shape [264 × 32]"},
        {{{"vocab_size", 67'000'000}}, "token_embd.weight: got shape [264 × 32]"},
    };
    for (const auto& [changes, expected] : cases) {
        json changed = config;
        changed.update(changes);
        write_text_file(folder / "config.json", changed.dump(), Overwrite::kReplace);
        try {
            open_model(folder);
            ADD_FAILURE() << changes;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
            EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what();
        }
    }
    write_text_file(folder / "config.json", "{", Overwrite::kReplace);
    EXPECT_EQ(kind_of([&] { open_model(folder); }), ErrorKind::kMalformed);
    std::filesystem::remove(folder / "config.json");
    EXPECT_EQ(kind_of([&] { open_model(folder); }), ErrorKind::kMissing);
}

/// A folder of one file whose tensors are zeros.
void write_zeros(const std::filesystem::path& folder, std::vector<SafetensorsSpec> specs) {
    SafetensorsWriter writer(folder / "model.safetensors", specs, Overwrite::kReplace);
    for (const SafetensorsSpec& spec : specs) writer.write(std::vector<std::byte>(spec.bytes()));
    writer.finish();
}

TEST(OpenFolder, NamesUnknownTensorsAndDtypesAndSkipsOldBuffers) {
    const TempDir dir;
    const auto folder = export_folder(dir, *open_model(write_tiny_gguf(dir / "tiny.gguf")));
    write_zeros(folder, {{"model.embed_tokens.weight", "I8", {264, 32}},
                         {"model.layers.0.self_attn.head_norm.weight", "BF16", {8}},
                         {"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {4}},
                         {"model.norm.weight", "F32", {}}});
    try {
        open_model(folder);
        FAIL();
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_NE(message.find("model.embed_tokens.weight: got dtype I8; expected BF16, F16, F32, F8_E4M3 or F8_E5M2"),
                  std::string::npos);
        EXPECT_NE(message.find("head_norm"), std::string::npos);
        EXPECT_NE(message.find("model.norm.weight: got 0 dimensions"), std::string::npos);
        EXPECT_NE(message.find("more"), std::string::npos);  // the list is cut after ten
        EXPECT_EQ(message.find("inv_freq"), std::string::npos);
    }
}

TEST(OpenFolder, RefusesAnIndexThatDoesNotMatchTheShards) {
    const TempDir dir;
    const auto folder = export_folder(dir, *open_model(write_tiny_gguf(dir / "tiny.gguf")), {.shard_bytes = 20'000});
    const auto path = folder / "model.safetensors.index.json";
    const json index = read_json(path);
    const std::string first = index["weight_map"]["model.embed_tokens.weight"];
    const std::string last = index["weight_map"]["model.norm.weight"];
    ASSERT_NE(first, last);

    json swapped = index;
    swapped["weight_map"]["model.norm.weight"] = first;
    json dropped = index;
    dropped["weight_map"].erase("model.norm.weight");
    for (const json& bad : {swapped, dropped}) {
        write_text_file(path, bad.dump(), Overwrite::kReplace);
        try {
            open_model(folder);
            ADD_FAILURE();
        } catch (const Error& error) {
            EXPECT_NE(std::string(error.what()).find("model.norm.weight"), std::string::npos) << error.what();
        }
    }
}

}  // namespace
}  // namespace plasticity
