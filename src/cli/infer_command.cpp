#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "api/stage_results.h"
#include "cli/command.h"
#include "cli/generation_options.h"
#include "core/error.h"
#include "plasticity/infer.h"

namespace plasticity {
namespace {

struct InferCommand {
    CommonOptions common;
    InferOptions options;
    TextSource prompt;
    TextSource grammar;
};

void run_infer(InferCommand& command) {
    InferOptions& options = command.options;
    options.threads = command.common.threads;
    options.sampler.seed = command.common.seed;
    options.sampler.grammar = command.grammar.read();
    if (!command.prompt.given())
        throw Error(ErrorKind::kUsage, "infer: no prompt; give a text with -p, or a file with -f");
    options.prompt = command.prompt.read();
    const bool json = command.common.json;
    const auto progress = command.common.progress();
    const InferResult result = infer(
        options,
        [&](std::string_view text) {
            if (!json) print_text(text);
        },
        *progress);
    if (json)
        print_json(infer_result_json(result, options));
    else
        print_line("");
    progress->note(fmt::format("{} prompt tokens at {:.1f}/s, {} generated at {:.1f}/s, stopped by {}{}",
                               result.prompt_tokens, result.prompt_tokens_per_second(), result.tokens.size(),
                               result.generated_tokens_per_second(), result.stop_reason, draft_text(result.draft)));
    if (result.stop_reason == "context")
        progress->note(fmt::format("the context of {} tokens is full; a longer one can be asked for with -c",
                                   result.context_length));
}

}  // namespace

void add_infer_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<InferCommand>();
    InferOptions& options = command->options;
    CLI::App* app = program.add_subcommand("infer", "Completes a prompt");
    app->add_option("model", options.model, kModelHelp)->required();
    CLI::Option* prompt = app->add_option("-p,--prompt", command->prompt.text, "Text to continue");
    app->add_option("-f,--file", command->prompt.file, "The same from a file")->excludes(prompt);
    app->add_option("-n,--predict,--n-predict", options.max_tokens,
                    "Tokens to generate at most; -1: until the text or the context ends")
        ->capture_default_str()
        ->check(CLI::Range(-1, 1 << 30));
    app->add_option("--stop,-r,--reverse-prompt", options.stop, "Stop at this string; may be given several times");
    app->add_flag("--chat", options.use_chat_template,
                  "The prompt is a user's message: apply the model's chat template");
    app->add_option("--system,--system-prompt", options.system, "A system message before it, with --chat");
    app->add_option("--logprobs", options.top_probabilities,
                    "With --json: each token's log probability, and so many of the likeliest at its place")
        ->check(CLI::Range(0, 100));
    add_cache_options(*app, options.cache, "what prompt and answer take");
    add_sampler_options(*app, options.sampler, command->grammar);
    add_lora_option(*app, options.lora);
    add_draft_options(*app, options.draft);
    add_backend_options(*app, options.backend);
    add_common_options(*app, command->common);
    app->callback([command] { run_infer(*command); });
}

}  // namespace plasticity
