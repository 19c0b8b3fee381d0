#include "plasticity/infer.h"

#include "artifact/kept_adapter.h"
#include "core/clock.h"
#include "core/progress.h"
#include "core/units.h"
#include "engine/cache_request.h"
#include "engine/generate.h"
#include "model/model.h"

namespace plasticity {
namespace {

std::vector<std::int32_t> encode_prompt(const Tokenizer& tokenizer, const InferOptions& options) {
    if (!options.use_chat_template) return tokenizer.encode(options.prompt, true, true);
    std::vector<ChatMessage> messages;
    if (!options.system.empty()) messages.push_back({"system", options.system});
    messages.push_back({"user", options.prompt});
    return tokenizer.encode(tokenizer.apply_chat_template(messages), true, true);
}

/// All of what the model was made for where the text is to go on as long as it likes.
std::int64_t wanted_context(const InferOptions& options, std::size_t prompt_tokens) {
    if (options.max_tokens < 0) return INT32_MAX;
    return static_cast<std::int64_t>(prompt_tokens) + options.max_tokens;
}

std::vector<InferredToken> with_text(const Tokenizer& tokenizer, const std::vector<ScoredToken>& tokens) {
    std::vector<InferredToken> all;
    for (const ScoredToken& token : tokens) {
        InferredToken inferred{token.token, tokenizer.piece(token.token), token.log_probability, {}};
        for (const TokenProbability& other : token.top)
            inferred.top.push_back({other.token, tokenizer.piece(other.token, true), other.log_probability, {}});
        all.push_back(std::move(inferred));
    }
    return all;
}

}  // namespace

double InferResult::prompt_tokens_per_second() const {
    return per_second(prompt_tokens, prompt_seconds);
}

double InferResult::generated_tokens_per_second() const {
    return per_second(tokens.size(), generation_seconds);
}

InferResult infer(const InferOptions& options, const std::function<void(std::string_view)>& on_text,
                  Progress& progress) {
    const auto start = Clock::now();
    const auto model = open_model(options.model);
    const Tokenizer tokenizer(model->tokenizer());
    const std::vector<std::int32_t> prompt = encode_prompt(tokenizer, options);
    DecoderOptions on = decoder_options(model->architecture(), cache_beside(options.draft, options.cache),
                                        wanted_context(options, prompt.size()), {options.backend, options.threads});
    on.adapter = load_kept_adapter(*model, options.lora);
    Decoder decoder(*model, on, progress);
    const auto draft =
        Draft::open(options.draft, tokenizer, decoder.context_length(), {options.backend, options.threads}, progress);
    const double load_seconds = seconds_since(start);
    const Generation generation = generate(TokenFeed(decoder, draft.get()), tokenizer, {.tokens = prompt},
                                           {.max_tokens = options.max_tokens,
                                            .sampler = options.sampler,
                                            .stop = options.stop,
                                            .top_probabilities = options.top_probabilities},
                                           on_text);
    return {
        .text = generation.text,
        .tokens = with_text(tokenizer, generation.tokens),
        .prompt_tokens = static_cast<std::int32_t>(prompt.size()),
        .context_length = decoder.context_length(),
        .load_seconds = load_seconds,
        .prompt_seconds = generation.prompt_seconds,
        .generation_seconds = generation.generation_seconds,
        .draft = generation.draft,
        .stop_reason = std::string(stop_reason_name(generation.reason)),
        .backend = decoder.backend_label(),
    };
}

}  // namespace plasticity
