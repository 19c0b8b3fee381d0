#include "cli/program.h"

#include <string>

#include "core/version.h"

namespace plasticity {

std::unique_ptr<CLI::App> make_program(CommandResult& result) {
    auto program = std::make_unique<CLI::App>(
        "Compresses a language model for one task and one device into a GGUF that stock llama.cpp runs.\n"
        "Exit codes: 0 ok, 1 internal, 2 usage, 3 input missing, 4 input malformed, 5 budget infeasible,\n"
        "6 I/O or disk full, 7 verification failed, 130/143 interrupted.",
        "plasticity");
    program->set_version_flag("--version", std::string("plasticity ") + kVersion);
    program->require_subcommand(1);
    for (const auto add :
         {add_run_command,      add_tune_command,   add_score_command,  add_merge_command,   add_plan_command,
          add_compress_command, add_heal_command,   add_verify_command, add_infer_command,   add_chat_command,
          add_serve_command,    add_eval_command,   add_bench_command,  add_inspect_command, add_report_command,
          add_diff_command,     add_export_command, add_ipc_command,    add_call_command,    add_pipeline_command,
          add_reference_command})
        add(*program, result);
    return program;
}

}  // namespace plasticity
