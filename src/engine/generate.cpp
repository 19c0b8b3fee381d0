#include "engine/generate.h"

#include <optional>

#include "core/clock.h"
#include "core/error.h"

namespace plasticity {
Generation generate(Decoder& decoder, const Tokenizer& tokenizer, const Prompt& prompt, const GenerateOptions& options,
                    const TextStream::Sink& on_text) {
    if (prompt.tokens.empty())
        throw Error(ErrorKind::kUsage, "generate: an empty prompt; give at least one token of text");
    Completion completion(tokenizer, options, on_text);
    completion.accept_prompt(prompt.fed_already);
    completion.accept_prompt(prompt.tokens);
    std::vector<float> logits;
    const LogitsSink take = [&](std::int32_t, std::span<const float> row) { logits.assign(row.begin(), row.end()); };

    Generation result;
    auto start = Clock::now();
    decoder.feed(prompt.tokens, prompt.tokens.size() - 1, take);
    result.prompt_seconds = seconds_since(start);
    start = Clock::now();
    while (const std::optional<std::int32_t> token = completion.advance(logits)) {
        if (decoder.position() == decoder.context_length()) {
            completion.end(StopReason::kContext);
            break;
        }
        decoder.feed(std::span(&*token, 1), 0, take);
    }
    result.generation_seconds = seconds_since(start);
    result.tokens = completion.tokens();
    result.text = completion.text();
    result.reason = completion.reason();
    return result;
}

}  // namespace plasticity
