#include "infer/speed.h"

#include <algorithm>
#include <functional>

#include "core/clock.h"
#include "core/error.h"
#include "core/memory.h"
#include "engine/decoder.h"
#include "model/model.h"

namespace plasticity {
namespace {

constexpr std::int32_t kWarmUpTokens = 2;  // of generation

/// Tokens without a pattern: which ones does not matter, but rows of the embedding must not all come from the caches.
std::vector<std::int32_t> arbitrary_tokens(std::int32_t n, std::int32_t n_vocab) {
    std::vector<std::int32_t> tokens;
    std::uint32_t state = 1;
    for (std::int32_t i = 0; i < n; ++i) {
        state = state * 1664525u + 1013904223u;
        tokens.push_back(static_cast<std::int32_t>(state % static_cast<std::uint32_t>(n_vocab)));
    }
    return tokens;
}

void feed_at_once(Decoder& decoder, std::span<const std::int32_t> tokens) {
    decoder.clear();
    if (!tokens.empty()) decoder.feed(tokens, tokens.size() - 1, [](std::int32_t, std::span<const float>) {});
}

void feed_one_by_one(Decoder& decoder, std::span<const std::int32_t> tokens) {
    decoder.clear();
    for (const std::int32_t& token : tokens)
        decoder.feed(std::span(&token, 1), 0, [](std::int32_t, std::span<const float>) {});
}

void measure(SpeedSeries& series, const std::function<void()>& run) {
    if (series.tokens == 0) return;
    const auto start = Clock::now();
    run();
    series.runs.push_back(series.tokens / std::max(seconds_since(start), 1e-9));
}

}  // namespace

Speed measure_speed(const SpeedOptions& options, Progress& progress) {
    if (options.prompt_tokens == 0 && options.generated_tokens == 0)
        throw Error(ErrorKind::kUsage, "bench speed: neither prompt nor generation is to be measured; give -p or -n");
    const auto start = Clock::now();
    const auto model = open_model(options.model);
    const std::int32_t longest = std::max(options.prompt_tokens, options.generated_tokens);
    Decoder decoder(*model,
                    decoder_options(model->architecture(), options.cache, longest, {options.backend, options.threads}),
                    progress);
    Speed speed{.prompt = {{}, options.prompt_tokens},
                .generation = {{}, options.generated_tokens},
                .load_seconds = seconds_since(start),
                .threads = decoder.threads(),
                .backend = decoder.backend_label(),
                .file_bytes = source_bytes(*model)};

    const auto tokens = arbitrary_tokens(longest, model->architecture().n_vocab);
    const std::span<const std::int32_t> all(tokens);
    feed_at_once(decoder, all.first(static_cast<std::size_t>(options.prompt_tokens)));
    feed_one_by_one(decoder, all.first(static_cast<std::size_t>(std::min(kWarmUpTokens, options.generated_tokens))));
    progress.begin("bench speed", static_cast<std::uint64_t>(options.repetitions), "repetitions");
    for (std::int32_t i = 0; i < options.repetitions; ++i) {
        measure(speed.prompt,
                [&] { feed_at_once(decoder, all.first(static_cast<std::size_t>(options.prompt_tokens))); });
        measure(speed.generation,
                [&] { feed_one_by_one(decoder, all.first(static_cast<std::size_t>(options.generated_tokens))); });
        progress.advance(1);
    }
    progress.end();
    speed.weight_bytes = decoder.weight_bytes();
    speed.cache_bytes = decoder.cache_bytes();
    speed.compute_bytes = decoder.compute_bytes();
    speed.peak_resident_bytes = peak_resident_bytes().value_or(0);
    return speed;
}

}  // namespace plasticity
