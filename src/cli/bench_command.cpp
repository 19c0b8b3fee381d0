#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/comparing.h"
#include "cli/generation_options.h"
#include "core/units.h"
#include "infer/speed.h"

namespace plasticity {
namespace {

struct SpeedCommand {
    CommonOptions common;
    SpeedOptions options;
};

nlohmann::ordered_json speed_json(const Speed& speed, std::int32_t repetitions) {
    return {{"prompt_tokens_per_second", speed.prompt.median()},
            {"generated_tokens_per_second", speed.generation.median()},
            {"prompt_tokens", speed.prompt.tokens},
            {"generated_tokens", speed.generation.tokens},
            {"repetitions", repetitions},
            {"prompt_runs", speed.prompt.runs},
            {"generated_runs", speed.generation.runs},
            {"prompt_spread", speed.prompt.spread()},
            {"generated_spread", speed.generation.spread()},
            {"threads", speed.threads},
            {"backend", speed.backend},
            {"load_seconds", speed.load_seconds},
            {"file_bytes", speed.file_bytes},
            {"weight_bytes", speed.weight_bytes},
            {"kv_cache_bytes", speed.cache_bytes},
            {"compute_bytes", speed.compute_bytes},
            {"peak_resident_bytes", speed.peak_resident_bytes}};
}

std::string series_text(const char* name, const SpeedSeries& series) {
    return fmt::format("{:<10} {:>5} tokens  {:>9.2f} tokens/s  spread {:.1f} % over {} runs", name, series.tokens,
                       series.median(), 100 * series.spread(), series.runs.size());
}

void run_speed(SpeedCommand& command) {
    command.options.threads = command.common.threads;
    const auto progress = command.common.progress();
    const Speed speed = measure_speed(command.options, *progress);
    if (command.common.json) return print_json(speed_json(speed, command.options.repetitions));
    if (speed.prompt.tokens > 0) print_line(series_text("prompt", speed.prompt));
    if (speed.generation.tokens > 0) print_line(series_text("generation", speed.generation));
    print_line(fmt::format("memory     {} weights, {} KV cache, {} graphs; {} at most resident; {} threads, {}",
                           format_bytes(speed.weight_bytes), format_bytes(speed.cache_bytes),
                           format_bytes(speed.compute_bytes), format_bytes(speed.peak_resident_bytes), speed.threads,
                           speed.backend));
}

void add_bench_speed(CLI::App& bench) {
    auto command = std::make_shared<SpeedCommand>();
    SpeedOptions& options = command->options;
    CLI::App* app = bench.add_subcommand(
        "speed", "Tokens per second of prompt and generation, as llama-bench measures them: medians and spread");
    app->add_option("model", options.model, kModelHelp)->required();
    app->add_option("-p,--n-prompt", options.prompt_tokens, "Tokens of the prompt; 0: not measured")
        ->capture_default_str()
        ->check(CLI::Range(0, 1 << 24));
    app->add_option("-n,--n-gen", options.generated_tokens, "Tokens to generate; 0: not measured")
        ->capture_default_str()
        ->check(CLI::Range(0, 1 << 24));
    app->add_option("-r,--repetitions", options.repetitions, "Runs of each")
        ->capture_default_str()
        ->check(CLI::Range(1, 1000));
    add_cache_options(*app, options.cache, "what the longer of the two takes");
    add_backend_options(*app, options.backend);
    add_common_options(*app, command->common);
    app->callback([command] { run_speed(*command); });
}

}  // namespace

void add_bench_command(CLI::App& program, CommandResult&) {
    CLI::App* bench = program.add_subcommand("bench", "Measures models");
    bench->require_subcommand(1);
    add_bench_speed(*bench);
    add_bench_compare(*bench);
}

}  // namespace plasticity
