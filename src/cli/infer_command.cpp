#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "plasticity/infer.h"

namespace plasticity {
namespace {

struct InferCommand {
    CommonOptions common;
    InferOptions options;
};

double rate(std::int32_t tokens, double seconds) {
    return seconds > 0 ? tokens / seconds : 0;
}

void run_infer(InferCommand& command) {
    command.options.threads = command.common.threads;
    command.options.seed = command.common.seed;
    const bool json = command.common.json;
    const auto progress = command.common.progress();
    const InferResult result = infer(
        command.options,
        [&](std::string_view text) {
            if (json) return;
            fmt::print("{}", text);
            std::fflush(stdout);
        },
        *progress);
    const double prompt_rate = rate(result.prompt_tokens, result.prompt_seconds);
    const double rate_generated = rate(result.generated_tokens, result.generation_seconds);
    if (json) {
        print_json({{"text", result.text},
                    {"prompt_tokens", result.prompt_tokens},
                    {"generated_tokens", result.generated_tokens},
                    {"prompt_tokens_per_second", prompt_rate},
                    {"generated_tokens_per_second", rate_generated},
                    {"stop_reason", result.stop_reason},
                    {"backend", result.backend}});
        return;
    }
    print_line("");
    progress->note(fmt::format("{} prompt tokens at {:.1f}/s, {} generated at {:.1f}/s, stopped by {}",
                               result.prompt_tokens, prompt_rate, result.generated_tokens, rate_generated,
                               result.stop_reason));
}

}  // namespace

void add_infer_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<InferCommand>();
    InferOptions& options = command->options;
    CLI::App* app = program.add_subcommand("infer", "Completes a prompt");
    app->add_option("model", options.model, kModelHelp)->required();
    app->add_option("-p,--prompt", options.prompt, "Text to continue")->required();
    app->add_option("-n,--predict", options.max_tokens, "Tokens to generate at most")
        ->capture_default_str()
        ->check(CLI::NonNegativeNumber);
    app->add_option("--temp", options.temperature, "Temperature; 0: always the most likely token")
        ->capture_default_str();
    app->add_option("--top-k", options.top_k, "0: off")->capture_default_str();
    app->add_option("--top-p", options.top_p, "1: off")->capture_default_str();
    app->add_option("--min-p", options.min_p, "0: off")->capture_default_str();
    app->add_option("--stop", options.stop, "Stop at this string; may be given several times");
    app->add_flag("--chat", options.use_chat_template,
                  "The prompt is a user's message: apply the model's chat template");
    add_backend_options(*app, options.backend);
    add_common_options(*app, command->common);
    app->callback([command] { run_infer(*command); });
}

}  // namespace plasticity
