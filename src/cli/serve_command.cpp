#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/generation_options.h"
#include "plasticity/serve.h"

namespace plasticity {
namespace {

struct ServeCommand {
    CommonOptions common;
    ServeOptions options;
};

void run_serve(ServeCommand& command) {
    command.options.threads = command.common.threads;
    const auto progress = command.common.progress();
    serve(
        command.options,
        [&](const std::string& url) {
            if (command.common.json)
                print_json({{"url", url}});
            else
                print_line(url);
            std::fflush(stdout);
        },
        *progress);
}

}  // namespace

void add_serve_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<ServeCommand>();
    ServeOptions& options = command->options;
    CLI::App* app = program.add_subcommand(
        "serve", "Serves a model over HTTP as OpenAI's API, with a chat page at /, until it is interrupted");
    app->add_option("model", options.model, kModelHelp)->required();
    app->add_option("--host", options.host, "Address to listen on; beyond this machine only with a key")
        ->capture_default_str();
    app->add_option("--port", options.port, "0: any that is free; the URL is printed")
        ->capture_default_str()
        ->check(CLI::Range(0, 65535));
    app->add_option("--api-key", options.api_key, "What clients must send as Authorization: Bearer KEY")
        ->envname("PLASTICITY_API_KEY");
    app->add_option("-a,--alias", options.alias, "What clients call the model; default: the file's name");
    app->add_option("--slots", options.slots, "Texts in work at once")->capture_default_str()->check(CLI::Range(1, 64));
    app->add_option("--queue", options.queued, "Texts that may wait for a slot; more are refused with 429")
        ->capture_default_str()
        ->check(CLI::Range(0, 1 << 16));
    app->add_option("--max-connections", options.connections, "Connections at once; more are refused with 503")
        ->capture_default_str()
        ->check(CLI::Range(1, 512));
    app->add_option("--max-body", options.body_bytes, "Bytes of a request's body at most")
        ->capture_default_str()
        ->check(CLI::Range(std::uint64_t{1} << 10, std::uint64_t{1} << 28));
    app->add_flag("!--no-cache-prompt", options.reuse_prompts,
                  "Feed every prompt from its start, though a slot may still know the beginning");
    add_cache_options(*app, options.cache, "4096 a slot, or what the model was made for where that is less");
    add_lora_option(*app, options.lora);
    add_backend_options(*app, options.backend);
    add_common_options(*app, command->common);
    app->callback([command] { run_serve(*command); });
}

}  // namespace plasticity
