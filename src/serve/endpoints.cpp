#include "serve/endpoints.h"

#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <mutex>
#include <new>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "artifact/json_text.h"
#include "core/error.h"
#include "serve/answer_stream.h"
#include "serve/chat_page.h"

namespace plasticity {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kJson = "application/json";

/// The page may load nothing and ask nobody but this server.
constexpr const char* kPagePolicy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string new_id(const char* prefix) {
    static std::random_device random;
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    return fmt::format("{}-{:08x}{:08x}{:08x}", prefix, random(), random(), random());
}

class ParsingTurn {
public:
    explicit ParsingTurn(std::counting_semaphore<2>& turns) : turns_(turns) { turns_.acquire(); }
    ~ParsingTurn() { turns_.release(); }
    ParsingTurn(const ParsingTurn&) = delete;
    ParsingTurn& operator=(const ParsingTurn&) = delete;

private:
    std::counting_semaphore<2>& turns_;
};

using Handler = std::function<void(const httplib::Request&, httplib::Response&)>;

/// What is wrong with a request is the client's, everything else the server's.
Handler guarded(Handler handler) {
    return [handler = std::move(handler)](const httplib::Request& request, httplib::Response& response) {
        Connection::current()->begin_work();
        try {
            handler(request, response);
        } catch (const Error& error) {
            const bool clients = error.kind() == ErrorKind::kMalformed || error.kind() == ErrorKind::kUsage;
            set_error(response, clients ? 400 : 500, error.what());
        } catch (const std::bad_alloc&) {
            set_error(response, 503, "no memory is left for this request; try again later");
        }
    };
}

}  // namespace

void Endpoints::add_to(HttpServer& server) {
    const auto get = [&](const char* path, Handler handler) { server.Get(path, guarded(std::move(handler))); };
    const auto post = [&](const char* path, Handler handler) { server.Post(path, guarded(std::move(handler))); };
    get("/health", [](const auto&, auto& response) { response.set_content(R"({"status":"ok"})", kJson); });
    get("/", [](const auto&, auto& response) {
        response.set_header("Content-Security-Policy", kPagePolicy);
        response.set_content(chat_page().data(), chat_page().size(), "text/html; charset=utf-8");
    });
    get("/model", [this](const auto&, auto& response) { response.set_content(model_.card, kJson); });
    get("/v1/models", [this](const auto&, auto& response) { response.set_content(models_json(), kJson); });
    get("/metrics", [this, &server](const auto&, auto& response) {
        Metrics::Gauges gauges = scheduler_.gauges();
        gauges.connections = server.connections();
        response.set_content(metrics_.text(gauges), "text/plain; version=0.0.4; charset=utf-8");
    });
    post("/tokenize", [this](const auto& request, auto& response) { tokenize(request.body, response); });
    post("/v1/completions",
         [this](const auto& request, auto& response) { answer(plan_texts(request.body), response); });
    post("/v1/chat/completions",
         [this](const auto& request, auto& response) { answer(plan_chat(request.body), response); });
}

std::string Endpoints::models_json() const {
    const Json model{{"id", model_.name},
                     {"object", "model"},
                     {"created", model_.created},
                     {"owned_by", "plasticity"},
                     {"context_length", model_.context_length}};
    return json_line({{"object", "list"}, {"data", Json::array({model})}});
}

void Endpoints::tokenize(const std::string& body, httplib::Response& response) {
    const ParsingTurn turn(parsing_);
    const TokenizeRequest request = parse_tokenize_request(body, limits_);
    const Json answer{{"tokens", model_.tokenizer.encode(request.content, request.add_special, true)}};
    response.set_content(answer.dump(), kJson);
}

void Endpoints::require_fits(const std::vector<std::int32_t>& prompt) const {
    if (prompt.empty()) throw Error(ErrorKind::kMalformed, "request: \"prompt\" is empty; expected at least one token");
    if (prompt.size() > static_cast<std::size_t>(model_.context_length))
        throw Error(ErrorKind::kMalformed, fmt::format("request: a prompt of {} tokens exceeds the context of {}",
                                                       prompt.size(), model_.context_length));
    for (const std::int32_t token : prompt)
        if (token >= model_.n_vocab)
            throw Error(ErrorKind::kMalformed, fmt::format("request: \"prompt\" holds token {}; expected less than {}",
                                                           token, model_.n_vocab));
}

std::vector<std::int32_t> Endpoints::prompt_tokens(const PromptSource& source) const {
    if (const auto* text = std::get_if<std::string>(&source)) return model_.tokenizer.encode(*text, true, true);
    return std::get<std::vector<std::int32_t>>(source);
}

std::string Endpoints::prompt_text(const PromptSource& source) const {
    if (const auto* text = std::get_if<std::string>(&source)) return *text;
    const auto& tokens = std::get<std::vector<std::int32_t>>(source);
    require_fits(tokens);
    std::string text;
    for (const std::int32_t token : tokens) text += model_.tokenizer.piece(token);
    return text;
}

void Endpoints::add_job(Plan& plan, const ApiRequest& request, const std::vector<std::int32_t>& prompt,
                        AnswerText text) const {
    require_fits(prompt);
    for (std::int32_t choice = 0; choice < request.choices; ++choice) {
        text.index = plan.jobs.size();
        TextJob job{.prompt = prompt, .generate = request.generate, .score_prompt = !text.prompt_tokens.empty()};
        job.generate.sampler.seed += static_cast<std::uint32_t>(choice);
        plan.jobs.push_back(std::move(job));
        plan.texts.push_back(text);
    }
    plan.choices = request.choices;
    plan.stream = request.stream;
    plan.include_usage = request.include_usage;
    plan.with_probabilities = request.generate.top_probabilities >= 0;
}

Endpoints::Plan Endpoints::plan_texts(const std::string& body) {
    const ParsingTurn turn(parsing_);
    const TextRequest request = parse_text_request(body, limits_);
    Plan plan;
    for (const PromptSource& source : request.prompts) {
        const std::vector<std::int32_t> prompt = prompt_tokens(source);
        AnswerText text;
        if (request.echo) {
            text.prompt_text = prompt_text(source);
            if (request.generate.top_probabilities >= 0) text.prompt_tokens = prompt;
        }
        add_job(plan, request, prompt, std::move(text));
    }
    return plan;
}

Endpoints::Plan Endpoints::plan_chat(const std::string& body) {
    const ParsingTurn turn(parsing_);
    const ChatRequest request = parse_chat_request(body, limits_);
    Plan plan;
    plan.chat = true;
    add_job(plan, request, model_.tokenizer.encode(model_.tokenizer.apply_chat_template(request.messages), true, true),
            {});
    return plan;
}

AnswerWriter Endpoints::writer(const Plan& plan) const {
    return {model_.tokenizer,
            {new_id(plan.chat ? "chatcmpl" : "cmpl"), model_.name, unix_seconds()},
            plan.with_probabilities};
}

void Endpoints::answer(Plan plan, httplib::Response& response) {
    const std::shared_ptr<Reply> reply = scheduler_.submit(std::move(plan.jobs));
    if (reply == nullptr) {
        metrics_.count_refused();
        response.set_header("Retry-After", "1");
        return set_error(response, 429, "too many requests wait; try again later");
    }
    if (!plan.stream) return collect(plan, *reply, response);
    const auto stream =
        std::make_shared<AnswerStream>(reply, writer(plan),
                                       AnswerStream::Form{.n_texts = plan.texts.size(),
                                                          .choices = plan.choices,
                                                          .chat = plan.chat,
                                                          .include_usage = plan.include_usage,
                                                          .with_probabilities = plan.with_probabilities});
    response.set_chunked_content_provider(
        "text/event-stream", [stream](std::size_t, httplib::DataSink& sink) { return stream->pump(sink); },
        [stream](bool) { stream->release(); });
}

void Endpoints::collect(const Plan& plan, Reply& reply, httplib::Response& response) const {
    std::vector<AnswerText> texts = plan.texts;
    Usage usage;
    while (!reply.finished()) {
        std::optional<ReplyEvent> event = reply.take(kReplyPatience);
        if (Connection::current()->client_left()) {
            Connection::current()->close_after_this();
            return reply.cancel();
        }
        if (!event) continue;
        if (!event->failure.empty()) {
            reply.cancel();
            return set_error(response, 503, event->failure);
        }
        AnswerText& text = texts[event->text_index];
        text.text += event->text;
        text.prompt_scores.insert(text.prompt_scores.end(), event->prompt.begin(), event->prompt.end());
        text.tokens.insert(text.tokens.end(), event->tokens.begin(), event->tokens.end());
        if (!event->end) continue;
        usage.add(*event->end, event->text_index % static_cast<std::size_t>(plan.choices) == 0);
        text.end = std::move(event->end);
    }
    const AnswerWriter to = writer(plan);
    response.set_content(plan.chat ? to.chat(texts, usage) : to.completion(texts, usage), kJson);
}

}  // namespace plasticity
