#include "cli/command.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "io/printable.h"

namespace plasticity {

std::unique_ptr<Progress> CommonOptions::progress() const {
    if (log_json) return make_progress(ProgressStyle::kJson);
    return make_progress(quiet ? ProgressStyle::kQuiet : ProgressStyle::kAuto);
}

void add_common_options(CLI::App& command, CommonOptions& options) {
    command.add_option("-t,--threads", options.threads, "Worker threads; 0: all processors")
        ->check(CLI::Range(0, 1024))
        ->group("Common");
    command.add_flag("--json", options.json, "One JSON document on stdout")->group("Common");
    command.add_flag("--force", options.force, "Replace outputs that exist")->group("Common");
    command.add_flag("--quiet", options.quiet, "No progress")->group("Common");
    command.add_flag("--log-json", options.log_json, "Progress as JSON lines on stderr")->group("Common");
    command.add_option("--seed", options.seed, "Seed of everything random")->group("Common");
}

void print_json(const nlohmann::ordered_json& document) {
    // What a model says may end within a character, or be no UTF-8 at all.
    constexpr auto kReplace = nlohmann::ordered_json::error_handler_t::replace;
    fmt::print("{}\n", document.dump(2, ' ', false, kReplace));
}

void print_line(std::string_view line) {
    fmt::print("{}\n", terminal_text(line, "\n"));  // it may quote a file: a model's name, a recipe's reasons
}

}  // namespace plasticity
