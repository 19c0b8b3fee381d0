#include "api/stage_results.h"

#include <nlohmann/json.hpp>

#include "artifact/fine_tune_record.h"

namespace plasticity {
namespace {

nlohmann::ordered_json token_json(const InferredToken& token) {
    return {{"token_id", token.id}, {"token", token.text}, {"logprob", token.log_probability}};
}

nlohmann::ordered_json sources_json(const CompressResult& done) {
    auto sources = nlohmann::ordered_json::array();
    for (const HashedFile& file : done.sources) sources.push_back({{"name", file.name}, {"sha256", file.sha256}});
    return sources;
}

}  // namespace

nlohmann::ordered_json score_result_json(const GateGradients& gradients, const std::filesystem::path& output,
                                         const std::optional<std::filesystem::path>& adapter) {
    nlohmann::ordered_json document{{"output", output.string()},
                                    {"examples", gradients.num_steps},
                                    {"tokens", gradients.num_tokens},
                                    {"mean_loss", gradients.mean_loss}};
    if (gradients.fine_tune) document["fine_tune"] = fine_tune_json(*gradients.fine_tune);
    if (adapter) document["adapter"] = adapter->string();
    return document;
}

double compression_ratio(const CompressResult& done) {
    return static_cast<double>(done.source_bytes) / static_cast<double>(done.file_bytes);
}

nlohmann::ordered_json compress_result_json(const CompressResult& done, const CompressOptions& options) {
    using nlohmann::ordered_json;
    return {{"output", options.output.string()},
            {"file_bytes", done.file_bytes},
            {"source_bytes", done.source_bytes},
            {"compression_ratio", compression_ratio(done)},
            {"tensors", done.tensors},
            {"compensated", done.compensated},
            {"with_error_feedback", done.with_error_feedback},
            {"output_error_ratio", done.output_error_ratio ? ordered_json(*done.output_error_ratio) : nullptr},
            {"narrowed_by_memory", done.narrowed_by_memory},
            {"left_out_by_memory", done.left_out_by_memory},
            {"sources", sources_json(done)},
            {"sha256", done.sha256.empty() ? ordered_json(nullptr) : ordered_json(done.sha256)},
            {"seconds", done.seconds},
            {"dry_run", options.dry_run}};
}

nlohmann::ordered_json infer_result_json(const InferResult& result, const InferOptions& options) {
    nlohmann::ordered_json document{{"text", result.text},
                                    {"prompt_tokens", result.prompt_tokens},
                                    {"generated_tokens", result.tokens.size()},
                                    {"prompt_tokens_per_second", result.prompt_tokens_per_second()},
                                    {"generated_tokens_per_second", result.generated_tokens_per_second()},
                                    {"guessed_tokens", result.draft.guessed},
                                    {"accepted_tokens", result.draft.accepted},
                                    {"stop_reason", result.stop_reason},
                                    {"backend", result.backend},
                                    {"context_length", result.context_length},
                                    {"load_seconds", result.load_seconds},
                                    {"prompt_seconds", result.prompt_seconds},
                                    {"generation_seconds", result.generation_seconds},
                                    {"token_ids", nlohmann::ordered_json::array()}};
    for (const InferredToken& token : result.tokens) document["token_ids"].push_back(token.id);
    if (options.top_probabilities >= 0) {
        auto& list = document["logprobs"] = nlohmann::ordered_json::array();
        for (const InferredToken& token : result.tokens) {
            list.push_back(token_json(token));
            auto& top = list.back()["top"] = nlohmann::ordered_json::array();
            for (const InferredToken& other : token.top) top.push_back(token_json(other));
        }
    }
    return document;
}

}  // namespace plasticity
