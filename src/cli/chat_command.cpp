#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/generation_options.h"
#include "cli/line_input.h"
#include "core/error.h"
#include "core/units.h"
#include "infer/chat_session.h"

namespace plasticity {
namespace {

struct ChatCommand {
    CommonOptions common;
    ChatOptions options;
    TextSource grammar;
};

constexpr const char* kCommands = "/clear starts anew, /exit ends, Ctrl-C stops an answer";

/// A lone word after a slash is meant as a command, "/etc/passwd is a path" is not.
bool looks_like_command(std::string_view line) {
    return line.starts_with('/') && line.size() > 1 &&
           std::all_of(line.begin() + 1, line.end(), [](char letter) { return letter >= 'a' && letter <= 'z'; });
}

nlohmann::ordered_json turn_json(const ChatAnswer& answer) {
    return {{"prompt_tokens", answer.prompt_tokens},
            {"reused_tokens", answer.reused_tokens},
            {"generated_tokens", answer.generated_tokens},
            {"prompt_seconds", answer.prompt_seconds},
            {"generation_seconds", answer.generation_seconds},
            {"guessed_tokens", answer.draft.guessed},
            {"accepted_tokens", answer.draft.accepted},
            {"stop_reason", answer.stopped ? "interrupt" : std::string(stop_reason_name(answer.reason))}};
}

/// One conversation over standard input and output.
class Conversation {
public:
    Conversation(const ChatCommand& command, Progress& progress)
        : progress_(progress),
          json_(command.common.json),
          by_hand_(isatty(STDIN_FILENO) != 0),
          session_(command.options, progress) {}

    void run() {
        if (by_hand_) progress_.note(kCommands);
        LineInput input(STDIN_FILENO);
        for (;;) {
            if (by_hand_) fmt::print(stderr, "> ");
            const std::optional<std::string> line = input.next();
            if (!line || *line == "/exit") break;
            take(*line);
        }
        if (json_) print_document();
    }

private:
    void take(const std::string& line) {
        if (line.empty()) return;
        if (line == "/clear") {
            session_.clear();
            progress_.note("the conversation starts anew");
            return;
        }
        try {
            if (looks_like_command(line))
                throw Error(ErrorKind::kUsage, fmt::format("chat: no command {}; {}", line, kCommands));
            reply(line);
        } catch (const Error& error) {
            // Whoever sits at a terminal can do better in the next line; a script cannot.
            if (!by_hand_ || error.kind() != ErrorKind::kUsage) throw;
            progress_.note(error.what());
        }
    }

    void reply(const std::string& message) {
        const ChatAnswer answer = session_.answer(message, [&](std::string_view text) {
            if (!json_) print_text(text);
        });
        if (!json_) print_text("\n");
        turns_.push_back(turn_json(answer));
        progress_.note(fmt::format(
            "{} prompt tokens, {} of them known, at {:.1f}/s; {} generated at {:.1f}/s{}{}", answer.prompt_tokens,
            answer.reused_tokens, per_second(answer.prompt_tokens - answer.reused_tokens, answer.prompt_seconds),
            answer.generated_tokens, per_second(answer.generated_tokens, answer.generation_seconds),
            draft_text(answer.draft), answer.stopped ? "; stopped" : ""));
        if (!answer.stopped && answer.reason == StopReason::kContext)
            progress_.note(fmt::format("the context of {} tokens is full: /clear, or a longer one with -c",
                                       session_.context_length()));
    }

    void print_document() const {
        nlohmann::ordered_json messages = nlohmann::ordered_json::array();
        for (const ChatMessage& message : session_.history())
            messages.push_back({{"role", message.role}, {"content", message.content}});
        print_json({{"messages", messages}, {"turns", turns_}});
    }

    Progress& progress_;
    bool json_;
    bool by_hand_;
    ChatSession session_;
    nlohmann::ordered_json turns_ = nlohmann::ordered_json::array();
};

void run_chat(ChatCommand& command) {
    command.options.threads = command.common.threads;
    command.options.sampler.seed = command.common.seed;
    command.options.sampler.grammar = command.grammar.read();
    const auto progress = command.common.progress();
    Conversation(command, *progress).run();
}

}  // namespace

void add_chat_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<ChatCommand>();
    ChatOptions& options = command->options;
    CLI::App* app = program.add_subcommand(
        "chat", std::string("Holds a conversation, a line a message, in the model's own template; ") + kCommands);
    app->add_option("model", options.model, kModelHelp)->required();
    app->add_option("--system,--system-prompt", options.system, "The message that conversations begin with");
    app->add_option("-n,--predict,--n-predict", options.max_tokens,
                    "Tokens of an answer at most; -1: until it or the context ends")
        ->capture_default_str()
        ->check(CLI::Range(-1, 1 << 30));
    app->add_option("--stop,-r,--reverse-prompt", options.stop,
                    "End an answer at this string; may be given several times");
    add_cache_options(*app, options.cache, "4096, or what the model was made for where that is less");
    add_sampler_options(*app, options.sampler, command->grammar);
    add_lora_option(*app, options.lora);
    add_draft_options(*app, options.draft);
    add_backend_options(*app, options.backend);
    add_common_options(*app, command->common);
    app->callback([command] { run_chat(*command); });
}

}  // namespace plasticity
