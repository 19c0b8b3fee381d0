#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "core/progress.h"
#include "io/atomic_file.h"
#include "plasticity/backend_choice.h"

namespace plasticity {

/// What every command takes.
struct CommonOptions {
    int threads = 0;  ///< 0: all processors
    bool json = false;
    bool force = false;
    bool quiet = false;
    bool log_json = false;
    std::uint32_t seed = 0;

    std::unique_ptr<Progress> progress() const;
    Overwrite overwrite() const { return force ? Overwrite::kReplace : Overwrite::kRefuse; }
};

/// Where commands leave their exit code: 0 unless one says otherwise without an error (a failed verification: 7).
struct CommandResult {
    int exit_code = 0;
};

/// What MODEL may be, for every command's --help.
inline constexpr const char* kModelHelp = "GGUF file, Hugging Face folder, or OWNER/NAME of the local hub cache";

/// Adds -t/--threads, --json, --force, --quiet, --log-json and --seed.
void add_common_options(CLI::App& command, CommonOptions& options);

/// Adds --backend and --gpu-layers, for commands that run a model.
void add_backend_options(CLI::App& command, BackendChoice& choice);

/// One JSON document, indented, to stdout.
void print_json(const nlohmann::ordered_json& document);
/// A line of text to stdout.
void print_line(std::string_view line);
/// A piece of what a model says to stdout, at once; on a terminal without what that would obey.
void print_text(std::string_view text);

// One function a command; each adds itself to the program.
void add_score_command(CLI::App& program, CommandResult& result);
void add_merge_command(CLI::App& program, CommandResult& result);
void add_plan_command(CLI::App& program, CommandResult& result);
void add_compress_command(CLI::App& program, CommandResult& result);
void add_heal_command(CLI::App& program, CommandResult& result);
void add_verify_command(CLI::App& program, CommandResult& result);
void add_infer_command(CLI::App& program, CommandResult& result);
void add_chat_command(CLI::App& program, CommandResult& result);
void add_bench_command(CLI::App& program, CommandResult& result);
void add_serve_command(CLI::App& program, CommandResult& result);
void add_eval_command(CLI::App& program, CommandResult& result);
void add_inspect_command(CLI::App& program, CommandResult& result);
void add_export_command(CLI::App& program, CommandResult& result);
void add_report_command(CLI::App& program, CommandResult& result);
void add_diff_command(CLI::App& program, CommandResult& result);
void add_run_command(CLI::App& program, CommandResult& result);
void add_tune_command(CLI::App& program, CommandResult& result);
void add_ipc_command(CLI::App& program, CommandResult& result);
void add_call_command(CLI::App& program, CommandResult& result);
void add_pipeline_command(CLI::App& program, CommandResult& result);
void add_reference_command(CLI::App& program, CommandResult& result);

}  // namespace plasticity
