#pragma once

#include <cstdint>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include "engine/tokenizer.h"
#include "serve/api_request.h"
#include "serve/api_response.h"
#include "serve/http_server.h"
#include "serve/limits.h"
#include "serve/metrics.h"
#include "serve/scheduler.h"

namespace plasticity {

/// The model as clients see it.
struct ServedModel {
    const Tokenizer& tokenizer;
    std::string name;
    std::string card;  ///< model_card
    std::int32_t context_length = 0;
    std::int32_t n_vocab = 0;
    std::int64_t created = 0;  ///< seconds since 1970
};

/// Which path does what: requests become jobs of the scheduler, and what they become answers.
class Endpoints {
public:
    Endpoints(ServedModel model, Scheduler& scheduler, Metrics& metrics, const ServeLimits& limits)
        : model_(std::move(model)), scheduler_(scheduler), metrics_(metrics), limits_(limits) {}

    /// Of a server that has not started and that does not outlive this.
    void add_to(HttpServer& server);

private:
    /// What every text of a request is, beside what it becomes.
    struct Plan {
        std::vector<TextJob> jobs;
        std::vector<AnswerText> texts;  ///< one for each job, with what is echoed
        std::int32_t choices = 1;
        bool chat = false, stream = false, include_usage = false, with_probabilities = false;
    };

    Plan plan_texts(const std::string& body);
    Plan plan_chat(const std::string& body);
    void add_job(Plan& plan, const ApiRequest& request, const std::vector<std::int32_t>& prompt, AnswerText text) const;
    std::vector<std::int32_t> prompt_tokens(const PromptSource& source) const;
    std::string prompt_text(const PromptSource& source) const;
    void require_fits(const std::vector<std::int32_t>& prompt) const;

    void answer(Plan plan, httplib::Response& response);
    void collect(const Plan& plan, Reply& reply, httplib::Response& response) const;
    void tokenize(const std::string& body, httplib::Response& response);
    std::string models_json() const;
    AnswerWriter writer(const Plan& plan) const;

    ServedModel model_;
    Scheduler& scheduler_;
    Metrics& metrics_;
    const ServeLimits& limits_;
    /// A parsed document takes many times its text's memory, so that few are parsed at once.
    std::counting_semaphore<2> parsing_{2};
};

}  // namespace plasticity
