#pragma once

// A run as its folder would tell of it, without the folder.

#include <string>

#include "report/run_record.h"

namespace plasticity::test {

/// Two layers of four heads, of which head 1 of the second is removed. @param foreign  in place of every text that
/// comes from a stranger
inline RunRecord example_record(const std::string& foreign = "name") {
    RunRecord record{.file_bytes = 1000};
    record.metadata.set("general.license", foreign);
    record.metadata.set("general.languages", GgufArray(std::vector<std::string>{foreign}));
    record.metadata.set("tokenizer.ggml.tokens", GgufArray(std::vector<std::string>{"a", "<|im_end|>", foreign}));
    record.metadata.set("tokenizer.ggml.eos_token_id", std::uint32_t{1});
    record.metadata.set("tokenizer.ggml.eot_token_id", std::uint32_t{2});

    Recipe& recipe = record.recipe;
    recipe.base_model = recipe.pipeline_version = recipe.policy = recipe.pruning = recipe.alignment = foreign;
    recipe.output_architecture = recipe.stock_reason = foreign;
    recipe.context_length = 4096;
    recipe.topology = {.base_model = foreign, .original_num_heads = 4, .original_num_kv_heads = 4, .head_dim = 8};
    recipe.topology.layers = {{0, 4, 4, {0, 1, 2, 3}, {0, 1, 2, 3}, {1, 0.5, 0.25, 0}},
                              {1, 3, 3, {0, 2, 3}, {0, 2, 3}, {1, 0.1, 0.2, 0.3}}};
    recipe.tensor_quant_map = {{.pattern = "*.mlp.*", .type = GGML_TYPE_Q4_K, .reason = foreign},
                               {.pattern = "*", .type = GGML_TYPE_Q8_0, .reason = foreign}};

    Report report;
    report.checks = {{foreign, true, foreign}, {"memory", false, foreign}};
    report.quality =
        QualityPanel{.positions = 7, .mean_kl = 0.5, .base_perplexity = 4, .perplexity = 5, .top1_agreement = 0.9};
    report.predicted_kl = PredictedKl{.value = 0.25, .standard_error = 0.1};
    record.report = report;

    record.samples = TextSamples{.backend = foreign, .samples = {{foreign, foreign, foreign + "!"}}};
    const FileDigest file{foreign, 3, std::string(64, 'a')};
    record.reproduction = Reproduction{.llama_cpp = foreign,
                                       .processor = foreign,
                                       .command = foreign,
                                       .model_files = {file},
                                       .calibration = {file},
                                       .output = file};
    return record;
}

}  // namespace plasticity::test
