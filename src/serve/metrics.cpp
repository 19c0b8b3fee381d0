#include "serve/metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace plasticity {
namespace {

template <typename Number>
std::string metric(const char* kind, const char* name, const char* help, Number value) {
    return fmt::format("# HELP plasticity_{0} {1}\n# TYPE plasticity_{0} {2}\nplasticity_{0} {3}\n", name, help, kind,
                       value);
}

}  // namespace

void DurationHistogram::observe(double seconds) {
    const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds) - kBounds.begin();
    ++counts_[static_cast<std::size_t>(bucket)];
    sum_ += seconds;
}

std::string DurationHistogram::text(const std::string& name, const std::string& help) const {
    std::string all = fmt::format("# HELP plasticity_{0} {1}\n# TYPE plasticity_{0} histogram\n", name, help);
    std::uint64_t so_far = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
        so_far += counts_[i];
        const std::string bound = i < kBounds.size() ? fmt::format("{}", kBounds[i]) : "+Inf";
        all += fmt::format("plasticity_{}_bucket{{le=\"{}\"}} {}\n", name, bound, so_far);
    }
    return all + fmt::format("plasticity_{0}_sum {1}\nplasticity_{0}_count {2}\n", name, sum_, so_far);
}

void Metrics::count_response(int status) {
    const std::lock_guard lock(mutex_);
    ++counts_.responses[std::clamp(status / 100, 1, 5) - 1];
}

void Metrics::count_refused() {
    const std::lock_guard lock(mutex_);
    ++counts_.refused;
}

void Metrics::count_cancelled() {
    const std::lock_guard lock(mutex_);
    ++counts_.cancelled;
}

void Metrics::count_step(std::size_t tokens, double seconds) {
    const std::lock_guard lock(mutex_);
    ++counts_.steps;
    counts_.step_tokens += tokens;
    counts_.step_seconds += seconds;
}

void Metrics::count_prompt(std::int32_t tokens, std::int32_t reused, double seconds_to_first_token) {
    const std::lock_guard lock(mutex_);
    counts_.prompt_tokens += static_cast<std::uint64_t>(tokens);
    counts_.reused_tokens += static_cast<std::uint64_t>(reused);
    first_token_.observe(seconds_to_first_token);
}

void Metrics::count_text(std::int32_t generated, double seconds) {
    const std::lock_guard lock(mutex_);
    counts_.generated_tokens += static_cast<std::uint64_t>(generated);
    whole_text_.observe(seconds);
}

Metrics::Counts Metrics::counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
}

std::string Metrics::text(const Gauges& gauges) const {
    const std::lock_guard lock(mutex_);
    std::string all = "# HELP plasticity_responses_total HTTP responses\n# TYPE plasticity_responses_total counter\n";
    for (int i = 0; i < 5; ++i)
        all += fmt::format("plasticity_responses_total{{class=\"{}xx\"}} {}\n", i + 1, counts_.responses[i]);
    all += metric("counter", "refused_total", "Requests for which the queue had no room", counts_.refused);
    all += metric("counter", "cancelled_total", "Texts whose client left", counts_.cancelled);
    all += metric("counter", "prompt_tokens_total", "Tokens of prompts", counts_.prompt_tokens);
    all += metric("counter", "reused_tokens_total", "Of these, known from earlier requests", counts_.reused_tokens);
    all += metric("counter", "generated_tokens_total", "Tokens generated", counts_.generated_tokens);
    all += metric("counter", "steps_total", "Passes through the model", counts_.steps);
    all += metric("counter", "step_tokens_total", "Tokens in all passes", counts_.step_tokens);
    all += metric("counter", "step_seconds_total", "Time that passes took", counts_.step_seconds);
    all += metric("gauge", "slots", "Texts that can be in work at once", gauges.slots);
    all += metric("gauge", "busy_slots", "Texts in work", gauges.busy_slots);
    all += metric("gauge", "queued", "Texts that wait for a slot", gauges.queued);
    all += metric("gauge", "connections", "Open connections", gauges.connections);
    all += metric("gauge", "cached_tokens", "Tokens in the KV caches", gauges.cached_tokens);
    all += first_token_.text("first_token_seconds", "From a request to its text's first token");
    return all + whole_text_.text("text_seconds", "From a request to its text's end");
}

}  // namespace plasticity
