// Writes valid inputs for every fuzz target, to be varied. Usage: fuzz_make_seeds FOLDER

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "artifact/frontier.h"
#include "artifact/gate_gradients.h"
#include "artifact/gguf_adapter.h"
#include "artifact/report.h"
#include "artifact/reproduction.h"
#include "artifact/statistics.h"
#include "artifact/text_samples.h"
#include "core/progress.h"
#include "io/gguf_writer.h"
#include "io/safetensors_writer.h"
#include "model/hf_export.h"
#include "support/random_adapter.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace {

namespace fs = std::filesystem;
using namespace plasticity;

/// As small as a model gets, so that changes hit its header.
test::TinyModelOptions smallest(const std::string& architecture) {
    return {.architecture = architecture,
            .n_layer = 1,
            .n_head = 2,
            .n_head_kv = 1,
            .head_dim = 16,
            .n_ff = 32,
            .matrix_type = GGML_TYPE_Q4_0};
}

void write_text(const fs::path& path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
}

std::string text_of(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void write_gguf_seeds(const fs::path& folder) {
    for (const char* architecture : {"llama", "qwen2", "deci"})
        test::write_tiny_gguf(folder / fmt::format("{}.gguf", architecture), smallest(architecture));

    GgufLayout bare = test::tiny_layout(smallest("llama"));
    const GgufMetadata all_keys = bare.metadata;
    for (const auto& [key, value] : all_keys.entries())
        if (key.starts_with("tokenizer.")) bare.metadata.erase(key);
    bare.metadata.set("llama.rope.scaling.type", std::string("yarn"));
    bare.metadata.set("llama.rope.scaling.factor", 4.0f);
    bare.metadata.set("split.count", std::uint16_t{1});
    bare.alignment = 64;
    test::write_tiny_layout(folder / "bare.gguf", bare);

    GgufLayout scalars;
    scalars.metadata.set("u8", std::uint8_t{1});
    scalars.metadata.set("i16", std::int16_t{-1});
    scalars.metadata.set("u64", std::uint64_t{1} << 40);
    scalars.metadata.set("f64", 0.5);
    scalars.metadata.set("bool", true);
    scalars.metadata.set("bools", GgufArray(std::vector<bool>{true, false}));
    scalars.metadata.set("texts", GgufArray(std::vector<std::string>{"a", ""}));
    scalars.metadata.set("i64s", GgufArray(std::vector<std::int64_t>{-1, 1}));
    scalars.tensors = {{"t", GGML_TYPE_F32, 4, {1, 2, 1, 2}}, {"q", GGML_TYPE_Q8_0, 1, {32, 1, 1, 1}}};
    test::write_tiny_layout(folder / "scalars.gguf", scalars);
}

/// A few tokens each: byte-level BPE, and pieces with byte fallback.
void write_vocabulary_seeds(const fs::path& folder) {
    const auto write = [&](const char* name, const char* model, const std::vector<std::string>& tokens,
                           const std::vector<std::int32_t>& types) {
        GgufLayout layout;
        layout.metadata.set("tokenizer.ggml.model", std::string(model));
        layout.metadata.set("tokenizer.ggml.pre", std::string("qwen2"));
        layout.metadata.set("tokenizer.ggml.tokens", GgufArray(tokens));
        layout.metadata.set("tokenizer.ggml.token_type", GgufArray(types));
        layout.metadata.set("tokenizer.ggml.scores", GgufArray(std::vector<float>(tokens.size(), -1.0f)));
        layout.metadata.set("tokenizer.ggml.merges", GgufArray(std::vector<std::string>{"t h", "th e"}));
        layout.metadata.set("tokenizer.ggml.bos_token_id", std::uint32_t{1});
        layout.metadata.set("tokenizer.ggml.add_bos_token", true);
        layout.tensors = {{"t", GGML_TYPE_F32, 1, {1, 1, 1, 1}}};
        test::write_tiny_layout(folder / name, layout);
    };
    write("bytes.seed", "gpt2", {"a", "<|im_start|>", "t", "h", "e", "th", "the", "\u0120", "\u010a"},
          {1, 3, 1, 1, 1, 1, 1, 1, 1});
    write("pieces.seed", "llama", {"<unk>", "<s>", "</s>", "<0x0A>", "<0x61>", "\u2581the", "t", "h", "e", "\u2581"},
          {2, 3, 3, 6, 6, 1, 1, 1, 1, 1});
}

void write_folder_seeds(const fs::path& seeds) {
    const test::TempDir dir;
    for (const char* architecture : {"llama", "qwen2"}) {
        const auto model = open_model(test::write_tiny_gguf(dir / "tiny.gguf", smallest(architecture)));
        const fs::path folder = dir / architecture;
        export_hf(*model, {.folder = folder, .dtype = "f16"}, *make_progress(ProgressStyle::kQuiet));
        const std::string name = std::string(architecture) + ".seed";
        const std::string config = text_of(folder / "config.json");
        write_text(seeds / "config" / name, config);
        std::string tokenizer = text_of(folder / "tokenizer.json");
        for (const char* file : {"tokenizer_config.json", "generation_config.json"})
            tokenizer += '\0' + text_of(folder / file);
        write_text(seeds / "tokenizer" / name, tokenizer + '\0' + config + '\0' + "{{ messages }}");
    }
}

void write_safetensors_seeds(const fs::path& folder) {
    const std::vector<SafetensorsSpec> shapes{
        {"scalar", "F32", {}}, {"empty", "I8", {0, 3}}, {"matrix", "BF16", {2, 1}}};
    const std::vector<SafetensorsSpec> model{{"model.norm.weight", "F32", {2}},
                                             {"model.layers.0.mlp.up_proj.weight", "F16", {2, 2}},
                                             {"lm_head.weight", "BF16", {3, 2}},
                                             {"position_ids", "I64", {1, 2}}};
    const std::vector<SafetensorsSpec> fp8{{"a.weight", "F8_E4M3", {3, 5}}, {"a.weight_scale_inv", "F32", {2, 3}},
                                           {"b.weight", "F8_E5M2", {3, 1}}, {"b.weight_scale", "BF16", {3}},
                                           {"c.weight", "F8_E4M3", {4}},    {"c.weight_scale", "F8_E8M0", {}},
                                           {"a.input_scale", "F32", {1}}};
    for (const auto& [name, tensors] : {std::pair{"shapes.seed", shapes}, {"model.seed", model}, {"fp8.seed", fp8}}) {
        SafetensorsWriter file(folder / name, tensors, Overwrite::kReplace);
        for (const SafetensorsSpec& tensor : tensors) file.write(std::vector<std::byte>(tensor.bytes()));
        file.finish();
    }
}

void write_config_seeds(const fs::path& folder) {
    constexpr std::string_view kGeometry =
        R"("model_type":"llama","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,)"
        R"("intermediate_size":96,"vocab_size":300,"rms_norm_eps":1e-5,)";
    write_text(folder / "fp8.seed", fmt::format(R"({{{}"quantization_config":{}}})", kGeometry,
                                                R"({"quant_method":"fp8","weight_block_size":[128,128]})"));
    write_text(folder / "compressed.seed",
               fmt::format(R"({{{}"quantization_config":{}}})", kGeometry,
                           R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":{"num_bits":8,)"
                           R"("type":"float","block_structure":[128,128]}}}})"));
    for (const auto& [name, rope] : {std::pair{"yarn", R"({"rope_type":"yarn","factor":4.0,"attention_factor":1.5})"},
                                     {"linear", R"({"type":"linear","factor":2})"},
                                     {"llama3", R"({"rope_type":"llama3","factor":8,"low_freq_factor":1,)"
                                                R"("high_freq_factor":4,"original_max_position_embeddings":8192})"}})
        write_text(folder / fmt::format("{}.seed", name), fmt::format(R"({{{}"rope_scaling":{}}})", kGeometry, rope));
}

void write_recipe_seeds(const fs::path& folder) {
    const test::TempDir dir;
    const auto model = open_model(test::write_tiny_gguf(dir / "tiny.gguf"));
    write_text(folder / "whole.seed", recipe_to_json(test::tiny_recipe(*model)));
    write_text(folder / "pruned.seed",
               recipe_to_json(test::tiny_recipe(*model, {.kept_heads = {{0, 1, 2, 3}, {2, 3}}})));
}

void write_run_seeds(const fs::path& folder) {
    Report report;
    report.checks = {{"structure", true, "as the recipe says"}};
    report.quality = QualityPanel{.positions = 2, .mean_kl = 0.5, .base_perplexity = 4, .perplexity = 5};
    report.predicted_kl = PredictedKl{.value = 0.4, .standard_error = 0.1};
    write_text(folder / "report.seed", report_to_json(report));

    Frontier frontier{.model = "m", .device = {"16gb", 16, 5}, .max_kl = 0.02};
    frontier.points = {{.name = "optimal 4", .variant = "optimal", .quality = *report.quality}};
    frontier.skipped = {{"tiers 4", "too large"}};
    write_text(folder / "frontier.seed", frontier_to_json(frontier));

    write_text(folder / "samples.seed", text_samples_to_json({.backend = "CPU", .samples = {{"a", "b", "c"}}}));

    const FileDigest file{"a", 3, std::string(64, 'a')};
    write_text(folder / "reproduce.seed", reproduction_to_json({.model_files = {file},
                                                                .data = {"d"},
                                                                .calibration = {file},
                                                                .options = {{"--tokens", {"8"}}},
                                                                .artifacts = {file},
                                                                .output = file}));
}

void write_score_seeds(const fs::path& seeds) {
    const std::vector<std::vector<double>> rows{{1, 0.5}, {0.25, 2}};
    const GateGradients gradients{.model_name = "tiny",
                                  .num_heads = 2,
                                  .num_kv_heads = 1,
                                  .num_steps = 4,
                                  .num_tokens = 64,
                                  .mean_loss = 2.5,
                                  .absolute_sums = rows,
                                  .signed_sums = rows,
                                  .moving_averages = rows,
                                  .layer_kv_heads = {1, 1},
                                  .provenance = {.precision = "f32"}};
    save_gate_gradients(gradients, seeds / "gate_gradients/own.seed", Overwrite::kReplace);
    write_text(seeds / "gate_gradients/foreign.seed",
               R"({"layer_scores":[[0,1],[0.5,0.25]],"num_steps":3,"model_name":"m","num_heads":2,"num_kv_heads":1})");

    Statistics statistics;
    statistics.matrices["blk.0.attn_q.weight"] = {{1, 0.5, 0}, 1024};
    statistics.matrices["blk.0.ffn_down.weight"] = {{2, 4}, 1024};
    statistics.datasets = {"a.txt"};
    save_statistics(statistics, seeds / "statistics/two.seed", Overwrite::kReplace);
}

void write_text_seeds(const fs::path& seeds) {
    write_text(seeds / "shard_index/both.seed",
               R"({"metadata":{"total_size":8},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
    write_text(
        seeds / "api_request/text.seed",
        R"({"model":"m","prompt":[[1,2],[3]],"max_tokens":1,"logprobs":1,"echo":true,"temperature":0,"seed":1})");
    write_text(
        seeds / "api_request/chat.seed",
        R"({"messages":[{"role":"system","content":"b"},{"role":"user","content":[{"type":"text","text":"a"}]}],)"
        R"("stream":true,"stream_options":{"include_usage":true},"logprobs":true,"top_logprobs":2,"stop":["x"]})");
    write_text(seeds / "api_request/tokenize.seed", R"({"content":"a b","add_special":true})");
    write_text(seeds / "stage_request/plan.seed",
               R"({"model":"m","scores":"s","device":"16gb","prune":"kv-groups=1,ffn=0.1","tensor-type":["a=q4_K"]})");
    write_text(
        seeds / "stage_request/score.seed",
        R"({"model":"m","data":["d"],"output":"o","memory":"4GB","epochs":1,"lr":1e-4,"gpu-layers":3,"force":true})");
    write_text(seeds / "stage_request/infer.seed",
               R"({"model":"m","prompt":"p","stop":"x","temp":0.5,"seed":4294967295,"predict":-1,"kv-type":null})");
    write_text(seeds / "rpc_request/compress.seed",
               R"({"jsonrpc":"2.0","id":1,"method":"plasticity/compress","params":{"capturePath":"/g.json",)"
               R"("modelPath":"O/N","deviceSpec":"32gb","outputPath":"~/o.gguf","threads":1,"force":true}})");
    write_text(
        seeds / "rpc_request/verify.seed",
        R"({"jsonrpc":"2.0","id":"a","method":"plasticity/verify","params":{"modelPath":"/m","dataPaths":["/d"],)"
        R"("baseModelPath":"/b","deviceSpec":{"memoryGb":4,"label":"x"}}})");
    write_text(seeds / "rpc_request/cancel.seed",
               R"({"jsonrpc":"2.0","method":"plasticity/cancel","params":{"jobId":1}})");
    write_text(
        seeds / "pipeline/both.seed",
        "name: n\ninputs: {m: , t: 5}\nsteps:\n  - name: a\n    type: Command\n    command: plasticity/score\n"
        "    forEach: [1/2, 2/2]\n    params: {modelPath: \"{{input.m}}\", dataPaths: [/d], slice: \"{{item}}\",\n"
        "      outputPath: \"/o{{index}}\"}\n  - name: b\n    type: Shell\n    if: always\n    onFailure: continue\n"
        "    command: |\n      echo $x\n    params:\n      x: \"{{steps.a.data.*.capturePath}}\"\n");
    write_text(seeds / "corpus/forms.seed",
               "{\"text\":\"a\"}\n{\"prompt\":\"p\",\"completion\":\"c\"}\n\n"
               "{\"messages\":[{\"role\":\"user\",\"content\":\"h\"}]}\r\n{\"tokens\":[0,5]}\n");
    write_text(seeds / "tasks/forms.seed", R"({"name":"a","prompt":"p","exact":"e","maxTokens":8,"stop":["\n"]})"
                                           "\n\n"
                                           R"({"prompt":"p","regex":"^(a|b)+$","chat":true})"
                                           "\r\n"
                                           R"({"prompt":"p","python":"assert output"})");
    // A chunk of four tokens has one row: a step, the lowest value, and codes of three tokens and one of padding.
    std::string logits = "_logits_";
    for (const std::uint32_t word : {4u, 3u, 1u, 0u, 1u, 2u, 1u, 0x3f000000u, 0xc1000000u, 0x00020000u, 0x00000005u})
        for (int shift = 0; shift < 32; shift += 8) logits += static_cast<char>(word >> shift & 0xff);
    write_text(seeds / "stock_logits/one_row.seed", logits);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: fuzz_make_seeds FOLDER\n");
        return 2;
    }
    const fs::path seeds = argv[1];
    fs::remove_all(seeds);
    for (const char* target : {"api_request", "config", "corpus", "gate_gradients", "gguf", "lora_adapter", "pipeline",
                               "recipe", "rpc_request", "run_artifacts", "safetensors", "shard_index", "stage_request",
                               "statistics", "stock_logits", "tasks", "tokenizer", "vocabulary"})
        fs::create_directories(seeds / target);
    write_gguf_seeds(seeds / "gguf");
    const Architecture smallest_llama = test::tiny_architecture(smallest("llama"));
    save_gguf_adapter(test::random_adapter(smallest_llama, 1), smallest_llama, seeds / "lora_adapter/lora.seed",
                      Overwrite::kRefuse);
    write_vocabulary_seeds(seeds / "vocabulary");
    write_folder_seeds(seeds);
    write_safetensors_seeds(seeds / "safetensors");
    write_config_seeds(seeds / "config");
    write_recipe_seeds(seeds / "recipe");
    write_run_seeds(seeds / "run_artifacts");
    write_score_seeds(seeds);
    write_text_seeds(seeds);
    return 0;
}
