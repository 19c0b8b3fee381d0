#include "cli/command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/printable.h"

namespace plasticity {
namespace {

std::optional<std::int32_t> parse_gpu_layers(const std::string& text) {
    if (text == "auto") return std::nullopt;
    std::int32_t n = -1;
    const char* end = text.data() + text.size();
    const auto [rest, status] = std::from_chars(text.data(), end, n);
    if (status != std::errc{} || rest != end || n < 0)
        throw Error(ErrorKind::kUsage, fmt::format("--gpu-layers: got '{}'; expected auto or a number from 0", text));
    return n;
}

}  // namespace

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

void add_backend_options(CLI::App& command, BackendChoice& choice) {
    command
        .add_option("--backend", choice.device,
                    "auto (the first GPU that ggml was built for and finds, else the CPU), cpu, or a device's name, "
                    "such as CUDA0")
        ->capture_default_str()
        ->group("Backend");
    command
        .add_option_function<std::string>(
            "--gpu-layers,--n-gpu-layers",
            [&choice](const std::string& text) { choice.gpu_layers = parse_gpu_layers(text); },
            "So many of the last layers on the device, the output matrix counted as one; auto: as many as fit (-ngl)")
        ->group("Backend");
}

void print_json(const nlohmann::ordered_json& document) {
    // What a model says may end within a character, or be no UTF-8 at all.
    constexpr auto kReplace = nlohmann::ordered_json::error_handler_t::replace;
    fmt::print("{}\n", document.dump(2, ' ', false, kReplace));
}

void print_line(std::string_view line) {
    fmt::print("{}\n", terminal_text(line, "\n"));  // it may quote a file: a model's name, a recipe's reasons
}

void print_text(std::string_view text) {
    static const bool shown = isatty(STDOUT_FILENO) != 0;
    if (shown)
        fmt::print("{}", terminal_text(text, "\n\t"));
    else
        fmt::print("{}", text);
    std::fflush(stdout);
}

}  // namespace plasticity
