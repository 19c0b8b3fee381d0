#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "core/error.h"
#include "ipc/parameters.h"
#include "ipc/server.h"

namespace plasticity {
namespace {

struct IpcCommand {
    CommonOptions common;
    std::string socket, jobs;
    bool stdio = false, allow_shell = false;
};

std::filesystem::path absolute_path(const std::string& text) {
    return text.empty() ? std::filesystem::path() : std::filesystem::absolute(expand_home(text)).lexically_normal();
}

void run_ipc(const IpcCommand& command) {
    if (command.stdio == !command.socket.empty())
        throw Error(ErrorKind::kUsage, "ipc: expected either --socket PATH or --stdio");
    const auto progress = command.common.progress();
    const IpcOptions options{.socket = absolute_path(command.socket),
                             .jobs = absolute_path(command.jobs),
                             .allow_shell = command.allow_shell};
    serve_ipc(
        options,
        [&] {
            if (command.stdio) return;  // stdout is the client's
            if (command.common.json)
                print_json({{"socket", options.socket.string()}});
            else
                print_line(options.socket.string());
            std::fflush(stdout);
        },
        *progress);
}

}  // namespace

void add_ipc_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<IpcCommand>();
    CLI::App* app = program.add_subcommand(
        "ipc", "Answers JSON-RPC requests of this machine's programs, and runs their jobs one by one");
    app->add_option("--socket", command->socket, "Unix socket to listen on, for this user alone");
    app->add_flag("--stdio", command->stdio, "Requests on stdin, answers on stdout; ends when all are answered");
    app->add_option("--jobs", command->jobs,
                    "Folder that keeps the jobs; default: PATH.jobs beside the socket, with --stdio none");
    app->add_flag("--allow-shell", command->allow_shell, "Pipelines may have steps of type Shell");
    add_common_options(*app, command->common);
    app->callback([command] { run_ipc(*command); });
}

}  // namespace plasticity
