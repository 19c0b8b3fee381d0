#include "engine/generate.h"

#include <algorithm>
#include <chrono>

#include "core/error.h"
#include "engine/evaluate.h"

namespace plasticity {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Bytes at the end of `text` that begin a UTF-8 sequence without finishing it.
std::size_t unfinished_utf8(std::string_view text) {
    for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
        const auto byte = static_cast<unsigned char>(text[text.size() - back]);
        if ((byte & 0xC0) == 0x80) continue;
        const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
        return length > back ? back : 0;
    }
    return 0;
}

/// Hands text on as it becomes final: a stop string that may be about to complete is held back.
class TextStream {
public:
    TextStream(const std::vector<std::string>& stop, const std::function<void(std::string_view)>& on_text)
        : stop_(stop), on_text_(on_text) {}

    /// @returns true when a stop string has completed
    bool append(std::string_view piece) {
        text_ += piece;
        for (const std::string& stop : stop_) {
            if (stop.empty()) continue;
            const std::size_t from = emitted_;
            const std::size_t at = text_.find(stop, from);
            if (at == std::string::npos) continue;
            text_.resize(at);
            emit(text_.size());
            return true;
        }
        emit(text_.size() - std::max(held_by_stop(), unfinished_utf8(text_)));
        return false;
    }

    std::string finish() {
        emit(text_.size());
        return std::move(text_);
    }

private:
    std::size_t held_by_stop() const {
        std::size_t held = 0;
        for (const std::string& stop : stop_)
            for (std::size_t n = std::min(stop.size(), text_.size() - emitted_); n > held; --n)
                if (text_.ends_with(std::string_view(stop).substr(0, n))) held = n;
        return held;
    }

    void emit(std::size_t end) {
        if (end <= emitted_) return;
        if (on_text_) on_text_(std::string_view(text_).substr(emitted_, end - emitted_));
        emitted_ = end;
    }

    const std::vector<std::string>& stop_;
    const std::function<void(std::string_view)>& on_text_;
    std::string text_;
    std::size_t emitted_ = 0;
};

}  // namespace

std::string_view stop_reason_name(StopReason reason) {
    switch (reason) {
        case StopReason::kEndOfText:
            return "end of text";
        case StopReason::kStopString:
            return "stop string";
        case StopReason::kLength:
            break;
    }
    return "length";
}

Generation generate(Decoder& decoder, const Tokenizer& tokenizer, std::span<const std::int32_t> prompt,
                    const GenerateOptions& options, const std::function<void(std::string_view)>& on_text) {
    if (prompt.empty()) throw Error(ErrorKind::kUsage, "generate: an empty prompt; give at least one token of text");
    Generation result;
    Sampler sampler(options.sampler);
    TextStream stream(options.stop, on_text);
    std::vector<float> logits;
    const LogitsSink take = [&](std::int32_t, std::span<const float> row) { logits.assign(row.begin(), row.end()); };

    auto start = Clock::now();
    decoder.feed(prompt, prompt.size() - 1, take);
    result.prompt_seconds = seconds_since(start);
    start = Clock::now();
    while (static_cast<std::int32_t>(result.tokens.size()) < options.max_tokens) {
        const std::int32_t token = sampler.choose(logits);
        if (tokenizer.ends_generation(token)) {
            result.reason = StopReason::kEndOfText;
            break;
        }
        result.tokens.push_back(token);
        result.log_probabilities.push_back(static_cast<float>(log_softmax_at(logits, token)));
        if (stream.append(tokenizer.piece(token))) {
            result.reason = StopReason::kStopString;
            break;
        }
        if (static_cast<std::int32_t>(result.tokens.size()) == options.max_tokens ||
            decoder.position() == decoder.context_length())
            break;
        decoder.feed(std::span(&token, 1), 0, take);
    }
    result.generation_seconds = seconds_since(start);
    result.text = stream.finish();
    return result;
}

}  // namespace plasticity
