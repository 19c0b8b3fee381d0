#include "cli/generation_options.h"

#include <fmt/format.h>

#include <span>

#include "core/error.h"
#include "io/input_file.h"

namespace plasticity {
namespace {

/// A prompt or a grammar; what is longer is no text that somebody means to send through a model.
constexpr std::uint64_t kMaxTextBytes = 64 << 20;

/// CLI::Range, which only takes numbers of the option's own kind.
template <typename T>
CLI::Range within(T lowest, T highest) {
    return {lowest, highest};
}

}  // namespace

std::string TextSource::read() const {
    if (file.empty()) return text;
    const InputFile input(file);
    if (input.size() > kMaxTextBytes)
        throw Error(ErrorKind::kUsage, fmt::format("{}: {} bytes; expected a text of {} at most", file.string(),
                                                   input.size(), kMaxTextBytes));
    std::string content(input.size(), '\0');
    input.read(0, std::as_writable_bytes(std::span(content)));
    if (content.ends_with('\n')) content.pop_back();
    return content;
}

void add_sampler_options(CLI::App& command, SamplerOptions& options, TextSource& grammar) {
    const auto add = [&](const char* name, auto& value, const char* help) {
        return command.add_option(name, value, help)->capture_default_str()->group("Sampling");
    };
    add("--temp", options.temperature, "Temperature; 0: always the most likely token")->check(within(0.0, 100.0));
    add("--top-k", options.top_k, "Choose among so many of the likeliest tokens; 0: among all");
    add("--top-p", options.top_p, "Choose among the likeliest that have this probability together; 1: off")
        ->check(within(0.0, 1.0));
    add("--min-p", options.min_p, "Leave out what is less likely than this times the likeliest; 0: off")
        ->check(within(0.0, 1.0));
    add("--repeat-penalty", options.repeat_penalty, "Make recent tokens less likely, 1.1 for example; 1: off")
        ->check(within(0.01, 100.0));
    add("--repeat-last-n", options.repeat_last_n, "Tokens that count as recent; -1: all")->check(within(-1, 1 << 20));
    add("--frequency-penalty", options.frequency_penalty, "Taken off a recent token's logit for each time it occurred")
        ->check(within(-100.0, 100.0));
    add("--presence-penalty", options.presence_penalty, "Taken off a recent token's logit once")
        ->check(within(-100.0, 100.0));
    CLI::Option* text =
        command.add_option("--grammar", grammar.text, "GBNF that the text must follow")->group("Sampling");
    command.add_option("--grammar-file", grammar.file, "The same from a file")->group("Sampling")->excludes(text);
}

void add_lora_option(CLI::App& command, std::optional<std::filesystem::path>& path) {
    command.add_option("--lora", path,
                       "GGUF adapter that was trained on the model, or on the base that it was compressed from: heads "
                       "and channels that went are left out of it");
}

void add_draft_options(CLI::App& command, DraftRequest& request) {
    command
        .add_option(
            "--draft,--model-draft", request.model,
            "A smaller model of the same vocabulary, which guesses ahead: faster where it guesses well, and the "
            "text has the same distribution")
        ->group("Draft");
    command.add_option("--draft-max", request.most, "Tokens that it guesses at once")
        ->capture_default_str()
        ->check(within(1, 64))
        ->group("Draft");
}

std::string draft_text(const DraftCounts& counts) {
    if (counts.guessed == 0) return "";
    return fmt::format("; {} of {} guessed tokens accepted", counts.accepted, counts.guessed);
}

void add_cache_options(CLI::App& command, CacheRequest& request, const std::string& context_help) {
    command.add_option("-c,--ctx-size", request.context_length, "Tokens of context; 0: " + context_help)
        ->capture_default_str()
        ->check(CLI::NonNegativeNumber);
    command.add_option("--kv-type", request.kv_type, "Keys and values in memory: f16, q8_0 or q4_0")
        ->capture_default_str();
    command.add_flag_function(
        "--repack,!--no-repack", [&request](std::int64_t said) { request.repack = said > 0; },
        "Hold matrices a second time, as this processor multiplies by single tokens fastest: faster answers, "
        "up to twice the memory. Where nothing is said: if that is half of the machine's at most");
}

}  // namespace plasticity
