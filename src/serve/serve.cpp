#include "plasticity/serve.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "artifact/kept_adapter.h"
#include "artifact/output_layout.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/memory.h"
#include "core/progress.h"
#include "core/units.h"
#include "engine/cache_request.h"
#include "engine/decoder.h"
#include "model/model.h"
#include "serve/endpoints.h"
#include "serve/model_card.h"

namespace plasticity {
namespace {

constexpr std::chrono::milliseconds kSignalCheck{50};

DecoderOptions decoder_for(const Model& model, const ServeOptions& options) {
    DecoderOptions decoder =
        decoder_options(model.architecture(), options.cache, kUsualContext, {options.backend, options.threads});
    decoder.sequences = options.slots;
    decoder.adapter = load_kept_adapter(model, options.lora);
    const std::uint64_t bytes = static_cast<std::uint64_t>(options.slots) *
                                kv_cache_bytes(model.architecture(), decoder.context_length, decoder.kv_type);
    const auto available = available_memory_bytes();
    if (available && bytes > *available)
        throw Error(ErrorKind::kUsage,
                    fmt::format("serve: {} slots of {} tokens take {} for keys and values, {} are "
                                "available; take fewer --slots, a shorter -c, or --kv-type q8_0",
                                options.slots, decoder.context_length, format_bytes(bytes), format_bytes(*available)));
    return decoder;
}

ServeLimits limits_of(const ServeOptions& options) {
    ServeLimits limits;
    limits.body_bytes = options.body_bytes;
    limits.connections = static_cast<std::size_t>(options.connections);
    limits.queued = static_cast<std::size_t>(options.queued);
    return limits;
}

std::string url_of(const std::string& host, int port) {
    return host.find(':') == std::string::npos ? fmt::format("http://{}:{}", host, port)
                                               : fmt::format("http://[{}]:{}", host, port);
}

[[noreturn]] void wait_for_signal() {
    for (;;) {
        throw_if_interrupted();
        std::this_thread::sleep_for(kSignalCheck);
    }
}

}  // namespace

void serve(const ServeOptions& options, const std::function<void(const std::string&)>& on_ready, Progress& progress) {
    const ServeLimits limits = limits_of(options);
    // Listens first: a port that is taken is known before the weights are read.
    HttpServer server({.host = options.host, .port = options.port, .api_key = options.api_key}, limits);
    const auto model = open_model(options.model);
    const Tokenizer tokenizer(model->tokenizer());
    Decoder decoder(*model, decoder_for(*model, options), progress);
    Metrics metrics;
    Scheduler scheduler(decoder, tokenizer,
                        {.slots = static_cast<std::size_t>(options.slots),
                         .queued = limits.queued,
                         .reuse_prompts = options.reuse_prompts},
                        metrics);
    Endpoints endpoints({.tokenizer = tokenizer,
                         .name = options.alias.empty() ? model->path().stem().string() : options.alias,
                         .card = model_card(*model),
                         .context_length = decoder.context_length(),
                         .n_vocab = model->architecture().n_vocab,
                         .created = unix_seconds()},
                        scheduler, metrics, limits);
    endpoints.add_to(server);
    server.start([&](int status) { metrics.count_response(status); });
    progress.note(fmt::format("{} slots of {} tokens, {} for keys and values", options.slots, decoder.context_length(),
                              format_bytes(decoder.cache_bytes())));
    try {
        on_ready(url_of(options.host, server.port()));
        wait_for_signal();
    } catch (...) {
        scheduler.stop();  // texts in work fail, so that the threads that serve them end
        server.stop();
        throw;
    }
}

}  // namespace plasticity
