#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "artifact/adapted_model.h"
#include "cli/command.h"
#include "engine/evaluate.h"
#include "io/corpus.h"
#include "model/model.h"
#include "report/report_text.h"

namespace plasticity {
namespace {

struct EvalCommand {
    CommonOptions common;
    std::filesystem::path model;
    std::filesystem::path base;
    std::optional<std::filesystem::path> adapter;
    std::vector<std::filesystem::path> data;
    std::int32_t context = 512;
    std::int32_t chunks = 0;
    std::string precision = "stored";
    BackendChoice backend;
};

void evaluate_alone(const EvalCommand& command, Decoder& decoder, const EvaluationText& text, Progress& progress) {
    const Perplexity result = perplexity(decoder, text, progress);
    const double rate = static_cast<double>(text.n_chunks) * text.context / result.seconds;
    if (command.common.json)
        print_json({{"perplexity", result.value},
                    {"standard_error", result.standard_error},
                    {"positions", result.positions},
                    {"chunks", text.n_chunks},
                    {"context", text.context},
                    {"tokens_per_second", rate},
                    {"backend", decoder.backend_label()}});
    else
        print_line(fmt::format("perplexity {:.4f} ± {:.4f} over {} positions ({} chunks of {}), {:.0f} tokens/s",
                               result.value, result.standard_error, result.positions, text.n_chunks, text.context,
                               rate));
}

void evaluate_against(const EvalCommand& command, Decoder& base, Decoder& decoder, const EvaluationText& text,
                      Progress& progress) {
    const QualityPanel quality = compare(base, decoder, text, progress);
    if (command.common.json)
        print_json({{"mean_kl", quality.mean_kl},
                    {"mean_kl_error", quality.mean_kl_error ? nlohmann::ordered_json(*quality.mean_kl_error) : nullptr},
                    {"median_kl", quality.median_kl},
                    {"p999_kl", quality.p999_kl},
                    {"max_kl", quality.max_kl},
                    {"top1_agreement", quality.top1_agreement},
                    {"perplexity", quality.perplexity},
                    {"base_perplexity", quality.base_perplexity},
                    {"perplexity_ratio", quality.perplexity_ratio()},
                    {"positions", quality.positions},
                    {"chunks", text.n_chunks},
                    {"context", text.context},
                    {"backend", decoder.backend_label()}});
    else
        print_line(quality_text(quality));
}

void run_eval(const EvalCommand& command) {
    const auto progress = command.common.progress();
    const auto model = open_model(command.model, command.adapter);
    const Tokenizer tokenizer(model->tokenizer());
    const EvaluationText text =
        prepare_evaluation(tokenizer, read_plain_text(command.data), command.context, command.chunks);
    const DecoderOptions options{.context_length = command.context,
                                 .precision = parse_weight_precision(command.precision),
                                 .threads = command.common.threads,
                                 .backend = command.backend};
    Decoder decoder(*model, options, *progress);
    if (command.base.empty()) return evaluate_alone(command, decoder, text, *progress);
    Decoder base(*open_model(command.base), options, *progress);
    evaluate_against(command, base, decoder, text, *progress);
}

}  // namespace

void add_eval_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<EvalCommand>();
    CLI::App* app = program.add_subcommand(
        "eval", "Perplexity of a model, as llama-perplexity measures it; with --base, KL divergence from that model");
    app->add_option("model", command->model, kModelHelp)->required();
    app->add_option("--data", command->data, "Held-out text")->required();
    app->add_option("--base", command->base, "The model to compare with");
    app->add_option("--adapter", command->adapter, "PEFT folder: measure the model with this adapter merged");
    app->add_option("-c,--context", command->context, "Tokens a chunk holds")->capture_default_str();
    app->add_option("--chunks", command->chunks, "Chunks to measure; 0: all of the text")
        ->capture_default_str()
        ->check(CLI::NonNegativeNumber);
    app->add_option("--precision", command->precision, "Convert matrices first: f32, f16, bf16, or stored as they are")
        ->capture_default_str();
    add_backend_options(*app, command->backend);
    add_common_options(*app, command->common);
    app->callback([command] { run_eval(*command); });
}

}  // namespace plasticity
