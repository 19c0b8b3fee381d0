#include "plasticity/infer.h"

#include <algorithm>

#include "core/progress.h"
#include "engine/generate.h"
#include "model/model.h"

namespace plasticity {
namespace {

std::vector<std::int32_t> encode_prompt(const Tokenizer& tokenizer, const InferOptions& options) {
    if (!options.use_chat_template) return tokenizer.encode(options.prompt, true, true);
    const ChatMessage message{"user", options.prompt};
    return tokenizer.encode(tokenizer.apply_chat_template(std::span(&message, 1)), true, true);
}

GenerateOptions generate_options(const InferOptions& options) {
    return {
        .max_tokens = options.max_tokens,
        .sampler = {.temperature = options.temperature,
                    .top_k = options.top_k,
                    .top_p = options.top_p,
                    .min_p = options.min_p,
                    .seed = options.seed},
        .stop = options.stop,
    };
}

}  // namespace

InferResult infer(const InferOptions& options, const std::function<void(std::string_view)>& on_text,
                  Progress& progress) {
    const auto model = open_model(options.model);
    const Tokenizer tokenizer(model->tokenizer());
    const std::vector<std::int32_t> prompt = encode_prompt(tokenizer, options);
    const auto needed = static_cast<std::int32_t>(prompt.size()) + std::max(options.max_tokens, 0);
    Decoder decoder(*model,
                    {.context_length = std::min(needed, model->architecture().context_length),
                     .threads = options.threads,
                     .backend = options.backend},
                    progress);
    const Generation generation = generate(decoder, tokenizer, prompt, generate_options(options), on_text);
    return {
        .text = generation.text,
        .prompt_tokens = static_cast<std::int32_t>(prompt.size()),
        .generated_tokens = static_cast<std::int32_t>(generation.tokens.size()),
        .prompt_seconds = generation.prompt_seconds,
        .generation_seconds = generation.generation_seconds,
        .stop_reason = std::string(stop_reason_name(generation.reason)),
        .backend = decoder.backend_label(),
    };
}

}  // namespace plasticity
