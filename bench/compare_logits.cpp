// Own engine against stock libllama on the same GGUF and the same tokens, logit by logit.
// Usage: compare_logits MODEL.gguf TEXT [CHUNKS [THREADS [auto|off]]]   (the last: libllama's flash attention)
#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "bench_main.h"
#include "core/error.h"
#include "core/progress.h"
#include "engine/evaluate.h"
#include "io/corpus.h"
#include "model/model.h"

namespace plasticity {
namespace {

constexpr std::int32_t kContext = 512;

struct Request {
    std::filesystem::path model;
    std::filesystem::path text;
    std::int32_t chunks = 9;
    int threads = 1;
    bool flash_attention = true;
};

struct ModelDeleter {
    void operator()(llama_model* model) const noexcept { llama_model_free(model); }
};
struct ContextDeleter {
    void operator()(llama_context* context) const noexcept { llama_free(context); }
};
struct BatchDeleter {
    void operator()(llama_batch* batch) const noexcept {
        llama_batch_free(*batch);
        delete batch;
    }
};

/// libllama with the defaults of its own tools, but for the threads.
class StockEngine {
public:
    explicit StockEngine(const Request& request) {
        llama_model_params model_params = llama_model_default_params();
        model_params.n_gpu_layers = 0;
        model_.reset(llama_model_load_from_file(request.model.c_str(), model_params));
        if (!model_) throw Error(ErrorKind::kMalformed, "compare_logits: libllama cannot load the model");
        llama_context_params params = llama_context_default_params();
        params.n_ctx = params.n_batch = params.n_ubatch = kContext;
        params.n_threads = params.n_threads_batch = request.threads;
        params.flash_attn_type = request.flash_attention ? LLAMA_FLASH_ATTN_TYPE_AUTO : LLAMA_FLASH_ATTN_TYPE_DISABLED;
        context_.reset(llama_init_from_model(model_.get(), params));
        if (!context_) throw Error(ErrorKind::kInternal, "compare_logits: libllama makes no context");
        batch_.reset(new llama_batch(llama_batch_init(kContext, 0, 1)));
    }

    std::int32_t n_vocab() const { return llama_vocab_n_tokens(llama_model_get_vocab(model_.get())); }

    /// Decodes a whole chunk; logits are there for the positions from first_wanted on.
    void decode(std::span<const std::int32_t> chunk, std::int32_t first_wanted) {
        llama_memory_clear(llama_get_memory(context_.get()), true);
        batch_->n_tokens = static_cast<std::int32_t>(chunk.size());
        for (std::int32_t i = 0; i < batch_->n_tokens; ++i) {
            batch_->token[i] = chunk[static_cast<std::size_t>(i)];
            batch_->pos[i] = i;
            batch_->n_seq_id[i] = 1;
            batch_->seq_id[i][0] = 0;
            batch_->logits[i] = i >= first_wanted;
        }
        if (llama_decode(context_.get(), *batch_) != 0)
            throw Error(ErrorKind::kInternal, "compare_logits: llama_decode fails");
    }
    std::span<const float> logits(std::int32_t position) const {
        return {llama_get_logits_ith(context_.get(), position), static_cast<std::size_t>(n_vocab())};
    }

private:
    std::unique_ptr<llama_model, ModelDeleter> model_;
    std::unique_ptr<llama_context, ContextDeleter> context_;
    std::unique_ptr<llama_batch, BatchDeleter> batch_;
};

struct Agreement {
    std::int64_t positions = 0, same_top = 0;
    double max_difference = 0, sum_difference = 0, max_logit = 0;
    double own_nll = 0, stock_nll = 0;

    void add(std::span<const float> own, std::span<const float> stock, std::int32_t next) {
        ++positions;
        double row_sum = 0;
        for (std::size_t id = 0; id < own.size(); ++id) {
            const double difference = std::abs(static_cast<double>(own[id]) - static_cast<double>(stock[id]));
            row_sum += difference;
            max_difference = std::max(max_difference, difference);
            max_logit = std::max(max_logit, std::abs(static_cast<double>(stock[id])));
        }
        sum_difference += row_sum / static_cast<double>(own.size());
        same_top += std::ranges::max_element(own) - own.begin() == std::ranges::max_element(stock) - stock.begin();
        own_nll -= log_softmax_at(own, next);
        stock_nll -= log_softmax_at(stock, next);
    }
};

Agreement compare_engines(Decoder& own, StockEngine& stock, const EvaluationText& text) {
    Agreement agreement;
    for (std::int32_t index = 0; index < text.n_chunks; ++index) {
        const std::vector<std::int32_t> chunk = text.chunk(index);
        const auto fed = std::span(chunk).first(chunk.size() - 1);
        stock.decode(fed, text.first_scored());
        own.clear();
        own.feed(fed, static_cast<std::size_t>(text.first_scored()),
                 [&](std::int32_t position, std::span<const float> row) {
                     agreement.add(row, stock.logits(position), chunk[static_cast<std::size_t>(position) + 1]);
                 });
        fmt::print(stderr, "compare_logits: chunk {} of {}\n", index + 1, text.n_chunks);
    }
    return agreement;
}

void print(const Agreement& agreement) {
    const auto n = static_cast<double>(agreement.positions);
    const nlohmann::ordered_json document = {{"positions", agreement.positions},
                                             {"max_abs_difference", agreement.max_difference},
                                             {"mean_abs_difference", agreement.sum_difference / n},
                                             {"max_abs_logit", agreement.max_logit},
                                             {"top1_agreement", static_cast<double>(agreement.same_top) / n},
                                             {"perplexity_own", std::exp(agreement.own_nll / n)},
                                             {"perplexity_stock", std::exp(agreement.stock_nll / n)}};
    fmt::print("{}\n", document.dump(2));
}

Request parse(std::span<char*> arguments) {
    if (arguments.size() < 3 || arguments.size() > 6)
        throw Error(ErrorKind::kUsage, "compare_logits: expected MODEL.gguf TEXT [CHUNKS [THREADS [auto|off]]]");
    Request request{.model = arguments[1], .text = arguments[2]};
    if (arguments.size() > 3) request.chunks = std::atoi(arguments[3]);
    if (arguments.size() > 4) request.threads = std::max(1, std::atoi(arguments[4]));
    if (arguments.size() > 5) request.flash_attention = std::string_view(arguments[5]) != "off";
    return request;
}

void run(const Request& request) {
    const auto progress = make_progress(ProgressStyle::kQuiet);
    const auto model = open_model(request.model);
    const Tokenizer tokenizer(model->tokenizer());
    const std::vector<std::filesystem::path> files{request.text};
    const EvaluationText text = prepare_evaluation(tokenizer, read_plain_text(files), kContext, request.chunks);
    Decoder own(*model, {.context_length = kContext, .threads = request.threads}, *progress);
    StockEngine stock(request);
    if (stock.n_vocab() != own.architecture().n_vocab)
        throw Error(ErrorKind::kMalformed,
                    fmt::format("compare_logits: libllama sees {} tokens, the own engine {}; expected the same",
                                stock.n_vocab(), own.architecture().n_vocab));
    print(compare_engines(own, stock, text));
}

}  // namespace
}  // namespace plasticity

int main(int argc, char** argv) {
    return plasticity::bench_main(argc, argv,
                                  [](std::span<char*> arguments) { plasticity::run(plasticity::parse(arguments)); });
}
