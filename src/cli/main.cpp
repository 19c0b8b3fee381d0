#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/mpi_ranks.h"
#include "core/version.h"
#include "io/printable.h"

namespace {

using namespace plasticity;

/// llama.cpp's -ngl, which would be read as -n with the value "gl". In the reverse order, as CLI11 takes them.
std::vector<std::string> with_long_names(std::span<char*> arguments) {
    std::vector<std::string> result;
    for (auto argument = arguments.rbegin(); argument != arguments.rend(); ++argument)
        result.emplace_back(std::string_view(*argument) == "-ngl" ? "--gpu-layers" : *argument);
    return result;
}

int run(int argc, char** argv) {
    CLI::App program{
        "Compresses a language model for one task and one device into a GGUF that stock llama.cpp runs.\n"
        "Exit codes: 0 ok, 1 internal, 2 usage, 3 input missing, 4 input malformed, 5 budget infeasible,\n"
        "6 I/O or disk full, 7 verification failed, 130/143 interrupted.",
        "plasticity"};
    program.set_version_flag("--version", std::string("plasticity ") + kVersion);
    program.require_subcommand(1);

    CommandResult result;
    add_run_command(program, result);
    add_tune_command(program, result);
    add_score_command(program, result);
    add_merge_command(program, result);
    add_plan_command(program, result);
    add_compress_command(program, result);
    add_verify_command(program, result);
    add_infer_command(program, result);
    add_chat_command(program, result);
    add_serve_command(program, result);
    add_eval_command(program, result);
    add_bench_command(program, result);
    add_inspect_command(program, result);
    add_report_command(program, result);
    add_diff_command(program, result);
    add_export_command(program, result);
    add_ipc_command(program, result);
    add_call_command(program, result);
    add_pipeline_command(program, result);
    std::vector<std::string> arguments = with_long_names(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
    try {
        program.parse(std::move(arguments));
    } catch (const CLI::Success& wanted) {  // --help, --version
        return program.exit(wanted);
    } catch (const CLI::ParseError& problem) {
        program.exit(problem);
        return static_cast<int>(ErrorKind::kUsage);
    }
    return result.exit_code;
}

/// @returns the exit code
int run_and_report(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const Error& error) {
        fmt::print(stderr, "plasticity: {}\n", terminal_text(error.what(), "\n"));
        return static_cast<int>(error.kind());
    } catch (const Interrupted& interrupted) {
        fmt::print(stderr, "plasticity: interrupted\n");
        return interrupted.exit_code();
    } catch (const std::bad_alloc&) {
        fmt::print(stderr, "plasticity: out of memory; take a smaller model, fewer threads or a shorter context\n");
        return static_cast<int>(ErrorKind::kIo);
    } catch (const std::exception& error) {
        fmt::print(stderr, "plasticity: internal error: {}\n", terminal_text(error.what(), "\n"));
        return static_cast<int>(ErrorKind::kInternal);
    }
}

}  // namespace

int main(int argc, char** argv) {
    install_signal_handlers();
    const int exit_code = run_and_report(argc, argv);
    leave_ranks(exit_code);
    return exit_code;
}
