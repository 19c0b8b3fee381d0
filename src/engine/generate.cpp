#include "engine/generate.h"

#include <optional>

#include "core/clock.h"
#include "core/error.h"

namespace plasticity {

Generation generate(TokenFeed feed, const Tokenizer& tokenizer, const Prompt& prompt, const GenerateOptions& options,
                    const TextStream::Sink& on_text) {
    if (prompt.tokens.empty())
        throw Error(ErrorKind::kUsage, "generate: an empty prompt; give at least one token of text");
    Completion completion(tokenizer, options, on_text);
    completion.accept_prompt(prompt.fed_already);
    completion.accept_prompt(prompt.tokens);

    Generation result;
    auto start = Clock::now();
    std::span<const float> logits = feed.begin(prompt.fed_already, prompt.tokens);
    result.prompt_seconds = seconds_since(start);
    start = Clock::now();
    while (const std::optional<std::int32_t> token = completion.advance(logits)) {
        if (feed.is_full()) {
            completion.end(StopReason::kContext);
            break;
        }
        logits = feed.append(*token);
    }
    feed.settle();
    result.generation_seconds = seconds_since(start);
    result.tokens = completion.tokens();
    result.text = completion.text();
    result.reason = completion.reason();
    result.draft = feed.counts();
    return result;
}

}  // namespace plasticity
