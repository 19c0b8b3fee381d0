// A device of ggml's against the CPU, on the own engine: logits, perplexity, speed, and gate gradients, with the model
// on the device as a whole, by a third, and not at all (where the device still multiplies for many tokens).
// Usage: backend_agreement MODEL TEXT [DEVICE [CHUNKS [THREADS]]]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench_main.h"
#include "core/error.h"
#include "core/progress.h"
#include "engine/backpropagation.h"
#include "engine/evaluate.h"
#include "io/corpus.h"
#include "model/model.h"

namespace plasticity {
namespace {

using Json = nlohmann::ordered_json;
using Tokens = std::vector<std::int32_t>;

constexpr std::int32_t kContext = 512;
constexpr std::size_t kGenerated = 128;

struct Request {
    std::filesystem::path model;
    std::filesystem::path text;
    std::string device = "auto";
    std::int32_t chunks = 4;
    int threads = 0;
};

double seconds_of(const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// What one placement of the model says and how fast.
struct Findings {
    std::string label;
    std::vector<std::vector<float>> logits;  ///< [scored position][n_vocab]
    std::vector<double> losses;
    double prompt_tokens_per_second = 0;
    Tokens generated;
    double generated_tokens_per_second = 0;
    std::vector<double> gates;  ///< of every head, signed, summed over chunks
    double scored_tokens_per_second = 0;
};

void run_forward(const Model& model, const EvaluationText& text, const DecoderOptions& options, Findings& findings) {
    const auto progress = make_progress(ProgressStyle::kAuto);
    Decoder decoder(model, options, *progress);
    findings.label = decoder.backend_label();
    for (std::int32_t index = 0; index < text.n_chunks; ++index) {
        const Tokens chunk = text.chunk(index);
        decoder.clear();
        decoder.feed(std::span(chunk).first(chunk.size() - 1), static_cast<std::size_t>(text.first_scored()),
                     [&](std::int32_t position, std::span<const float> row) {
                         findings.logits.emplace_back(row.begin(), row.end());
                         findings.losses.push_back(-log_softmax_at(row, chunk[static_cast<std::size_t>(position) + 1]));
                     });
    }
    const Tokens prompt = text.chunk(0);
    std::int32_t next = 0;
    const LogitsSink take = [&](std::int32_t, std::span<const float> row) {
        next = static_cast<std::int32_t>(std::ranges::max_element(row) - row.begin());
    };
    decoder.clear();
    const double prompt_seconds = seconds_of([&] { decoder.feed(std::span(prompt).first(256), 255, take); });
    findings.prompt_tokens_per_second = 256 / prompt_seconds;
    const double seconds = seconds_of([&] {
        while (findings.generated.size() < kGenerated) {
            findings.generated.push_back(next);
            decoder.feed(std::span(&findings.generated.back(), 1), 0, take);
        }
    });
    findings.generated_tokens_per_second = kGenerated / seconds;
}

void run_backward(const Model& model, const EvaluationText& text, const BackpropagationOptions& options,
                  Findings& findings) {
    const auto progress = make_progress(ProgressStyle::kAuto);
    Backpropagation engine(model, options, *progress);
    std::int64_t n_tokens = 0;
    const double seconds = seconds_of([&] {
        for (std::int32_t index = 0; index < text.n_chunks; ++index) {
            const Tokens chunk = text.chunk(index);
            const ExampleGradients gradients =
                engine.run({.tokens = chunk, .targets = std::vector<std::uint8_t>(chunk.size(), 1)}, {});
            std::vector<double> flat;
            for (const std::vector<double>& layer : gradients.gates)
                flat.insert(flat.end(), layer.begin(), layer.end());
            findings.gates.resize(flat.size(), 0.0);
            for (std::size_t i = 0; i < flat.size(); ++i) findings.gates[i] += flat[i];
            n_tokens += std::ssize(chunk);
        }
    });
    findings.scored_tokens_per_second = static_cast<double>(n_tokens) / seconds;
}

Findings run_on(const Model& model, const EvaluationText& text, const BackendChoice& backend, int threads) {
    Findings findings;
    run_forward(model, text, {.context_length = kContext, .threads = threads, .backend = backend}, findings);
    run_backward(model, text, {.threads = threads, .backend = backend}, findings);
    return findings;
}

std::vector<double> ranks(const std::vector<double>& values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, {}, [&](std::size_t i) { return std::fabs(values[i]); });
    std::vector<double> result(values.size());
    for (std::size_t rank = 0; rank < order.size(); ++rank) result[order[rank]] = static_cast<double>(rank);
    return result;
}

/// Spearman's, of the magnitudes; equal ones count as in order.
double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
    const std::vector<double> x = ranks(a), y = ranks(b);
    double squares = 0;
    for (std::size_t i = 0; i < x.size(); ++i) squares += (x[i] - y[i]) * (x[i] - y[i]);
    const auto n = static_cast<double>(x.size());
    return 1 - 6 * squares / (n * (n * n - 1));
}

Json logits_agreement(const Findings& cpu, const Findings& other) {
    double largest = 0, kl = 0, same = 0;
    for (std::size_t row = 0; row < cpu.logits.size(); ++row) {
        const std::vector<float>&a = cpu.logits[row], &b = other.logits[row];
        for (std::size_t id = 0; id < a.size(); ++id)
            largest = std::max(largest, std::fabs(double{a[id]} - double{b[id]}));
        kl += kl_divergence(a, b);
        same += std::ranges::max_element(a) - a.begin() == std::ranges::max_element(b) - b.begin();
    }
    const auto n = static_cast<double>(cpu.logits.size());
    return {{"positions", cpu.logits.size()},
            {"max_abs_difference", largest},
            {"mean_kl", kl / n},
            {"top1_agreement", same / n}};
}

Json gradient_agreement(const Findings& cpu, const Findings& other) {
    double largest = 0, scale = 0;
    for (std::size_t i = 0; i < cpu.gates.size(); ++i) {
        largest = std::max(largest, std::fabs(cpu.gates[i] - other.gates[i]));
        scale = std::max(scale, std::fabs(cpu.gates[i]));
    }
    return {{"heads", cpu.gates.size()},
            {"max_difference_by_largest_gradient", largest / scale},
            {"spearman", rank_correlation(cpu.gates, other.gates)}};
}

Json describe(const Findings& cpu, const Findings& found, std::string_view gpu_layers) {
    const double nll =
        std::accumulate(found.losses.begin(), found.losses.end(), 0.0) / static_cast<double>(found.losses.size());
    const auto parted = std::ranges::mismatch(cpu.generated, found.generated).in1 - cpu.generated.begin();
    return {{"backend", found.label},
            {"gpu_layers", gpu_layers},
            {"perplexity", std::exp(nll)},
            {"prompt_tokens_per_second", found.prompt_tokens_per_second},
            {"generated_tokens_per_second", found.generated_tokens_per_second},
            {"scored_tokens_per_second", found.scored_tokens_per_second},
            {"greedy_tokens_alike", parted},
            {"logits", logits_agreement(cpu, found)},
            {"gate_gradients", gradient_agreement(cpu, found)}};
}

void run(const Request& request) {
    const auto model = open_model(request.model);
    const Tokenizer tokenizer(model->tokenizer());
    const std::vector<std::filesystem::path> files{request.text};
    const EvaluationText text = prepare_evaluation(tokenizer, read_plain_text(files), kContext, request.chunks);
    const Findings cpu = run_on(*model, text, {.device = "cpu", .gpu_layers = std::nullopt}, request.threads);
    Json placements = Json::array({describe(cpu, cpu, "none")});
    const std::int32_t third = (model->architecture().n_layer() + 1) / 3;
    for (const std::optional<std::int32_t> layers : {std::optional<std::int32_t>{}, {third}, {0}})
        placements.push_back(
            describe(cpu, run_on(*model, text, {.device = request.device, .gpu_layers = layers}, request.threads),
                     layers ? std::to_string(*layers) : "auto"));
    fmt::print("{}\n", Json{{"model", request.model.filename().string()},
                            {"layers", model->architecture().n_layer()},
                            {"chunks", text.n_chunks},
                            {"context", kContext},
                            {"placements", placements}}
                           .dump(2));
}

Request parse(std::span<char*> arguments) {
    if (arguments.size() < 3 || arguments.size() > 6)
        throw Error(ErrorKind::kUsage, "backend_agreement: expected MODEL TEXT [DEVICE [CHUNKS [THREADS]]]");
    Request request{.model = arguments[1], .text = arguments[2]};
    if (arguments.size() > 3) request.device = arguments[3];
    if (arguments.size() > 4) request.chunks = std::atoi(arguments[4]);
    if (arguments.size() > 5) request.threads = std::atoi(arguments[5]);
    return request;
}

}  // namespace
}  // namespace plasticity

int main(int argc, char** argv) {
    return plasticity::bench_main(argc, argv,
                                  [](std::span<char*> arguments) { plasticity::run(plasticity::parse(arguments)); });
}
