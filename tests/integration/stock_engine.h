#pragma once

// Stock llama.cpp in this process: the engine that every output must run in, and what the own engine is judged by.

#include <llama.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "engine/decoder.h"
#include "engine/evaluate.h"

namespace plasticity::test {

class StockEngine {
public:
    /// @param cache_type  of keys and values: F16 as is the custom, or F32
    StockEngine(const std::filesystem::path& path, std::int32_t context, ggml_type cache_type = GGML_TYPE_F16) {
        llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
        model_.reset(llama_model_load_from_file(path.c_str(), llama_model_default_params()));
        if (!model_) throw std::runtime_error("stock llama.cpp does not load " + path.string());
        llama_context_params parameters = llama_context_default_params();
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = static_cast<std::uint32_t>(context);
        parameters.type_k = parameters.type_v = cache_type;
        // Its fast attention rounds keys and values to F16 whatever the cache holds.
        if (cache_type == GGML_TYPE_F32) parameters.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
        parameters.n_threads = parameters.n_threads_batch = 2;
        context_.reset(llama_init_from_model(model_.get(), parameters));
        if (!context_) throw std::runtime_error("stock llama.cpp does not run " + path.string());
        n_vocab_ = static_cast<std::size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model_.get())));
    }

    /// A new sequence; logits of tokens[first…].
    void feed(std::span<const std::int32_t> tokens, std::size_t first, const LogitsSink& sink) {
        llama_memory_clear(llama_get_memory(context_.get()), true);
        llama_batch batch = llama_batch_init(static_cast<std::int32_t>(tokens.size()), 0, 1);
        batch.n_tokens = static_cast<std::int32_t>(tokens.size());
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            batch.token[i] = tokens[i];
            batch.pos[i] = static_cast<std::int32_t>(i);
            batch.n_seq_id[i] = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i] = i >= first;
        }
        const int problem = llama_decode(context_.get(), batch);
        llama_batch_free(batch);
        if (problem != 0) throw std::runtime_error("llama_decode says " + std::to_string(problem));
        for (std::size_t i = first; i < tokens.size(); ++i)
            sink(static_cast<std::int32_t>(i),
                 {llama_get_logits_ith(context_.get(), static_cast<std::int32_t>(i)), n_vocab_});
    }

    double perplexity(const EvaluationText& text) {
        double nll = 0;
        for (std::int32_t index = 0; index < text.n_chunks; ++index) {
            const auto chunk = text.chunk(index);
            feed(std::span(chunk).first(chunk.size() - 1), static_cast<std::size_t>(text.first_scored()),
                 [&](std::int32_t position, std::span<const float> row) {
                     nll -= log_softmax_at(row, chunk[static_cast<std::size_t>(position) + 1]);
                 });
        }
        return std::exp(nll / static_cast<double>(text.positions()));
    }

private:
    struct Deleter {
        void operator()(llama_model* model) const noexcept { llama_model_free(model); }
        void operator()(llama_context* context) const noexcept { llama_free(context); }
    };
    std::unique_ptr<llama_model, Deleter> model_;
    std::unique_ptr<llama_context, Deleter> context_;
    std::size_t n_vocab_ = 0;
};

}  // namespace plasticity::test
