#include "heal/heal.h"

#include <fmt/format.h>

#include <cmath>
#include <span>

#include "core/clock.h"
#include "core/error.h"
#include "engine/examples.h"
#include "engine/learning_rate.h"
#include "engine/tokenizer.h"
#include "heal/healed_file.h"
#include "heal/teacher.h"
#include "heal/trained_vectors.h"
#include "io/corpus.h"
#include "io/gguf_reader.h"
#include "model/model.h"

namespace plasticity {
namespace {

constexpr double kWarmUp = 0.1;  // of the steps

void require_sound(const HealOptions& o) {
    if (o.holdout_every < 2)
        throw Error(ErrorKind::kUsage,
                    fmt::format("heal: --holdout-every {}; expected 2 or more, for what is not trained on decides",
                                o.holdout_every));
    if (!std::isfinite(o.learning_rate) || o.learning_rate < 0)
        throw Error(ErrorKind::kUsage, fmt::format("heal: --lr {}; expected 0 or more", o.learning_rate));
}

void require_base_of(const Model& model, const Tokenizer& tokenizer, const Model& base) {
    const std::int32_t mine = model.architecture().n_vocab, theirs = base.architecture().n_vocab;
    const auto first = first_difference(tokenizer, Tokenizer(base.tokenizer()));
    if (mine != theirs || first)
        throw Error(ErrorKind::kUsage,
                    fmt::format("heal: the model has {} tokens, its base {}{}; expected the base that it was "
                                "compressed from",
                                mine, theirs, first ? fmt::format(", and token {} differs", *first) : ""));
}

void require_two(const ExampleSet& set) {
    if (set.examples.size() < 2)
        throw Error(ErrorKind::kUsage,
                    fmt::format("heal: the data gives one example of {} tokens; expected at least two", set.n_tokens));
}

/// Every so-manieth example is held out, the first among them.
struct Split {
    std::vector<Visit> training, held_out;
};

Split split(const ExampleSet& set, const Teacher& teacher, std::int32_t holdout_every) {
    Split split;
    for (std::size_t i = 0; i < set.examples.size(); ++i) {
        const bool is_held = i % static_cast<std::size_t>(holdout_every) == 0;
        (is_held ? split.held_out : split.training).push_back({.example = &set.examples[i], .teacher = &teacher.of(i)});
    }
    return split;
}

/// Mean over examples of their mean KL.
double divergence(Backpropagation& engine, std::span<const Visit> visits) {
    double sum = 0;
    for (const Visit& visit : visits) sum += engine.losses(std::span(&visit, 1)).front();
    return sum / static_cast<double>(visits.size());
}

BackpropagationOptions engine_options(const HealOptions& options, const ExampleSet& set) {
    BackpropagationOptions engine;
    engine.threads = options.threads;
    engine.backend = options.backend;
    engine.longest_example = set.longest();
    return engine;
}

void train(Backpropagation& engine, TrainedVectors& vectors, std::span<const Visit> visits, double learning_rate,
           Progress& progress) {
    const LearningRate schedule = cosine_schedule(learning_rate, kWarmUp, std::ssize(visits));
    const SweepObservers observers{.activations = {}, .curvature = {}, .vectors = vectors.observer(), .progressed = {}};
    std::int64_t n_tokens = 0;
    for (const Visit& visit : visits) n_tokens += std::ssize(visit.example->tokens);
    progress.begin("heal", static_cast<std::uint64_t>(n_tokens), "tokens");
    for (std::size_t step = 0; step < visits.size(); ++step) {
        engine.sweep(visits.subspan(step, 1), observers);
        vectors.step(engine, schedule.at(static_cast<std::int64_t>(step)));
        progress.advance(visits[step].example->tokens.size());
    }
    progress.end();
}

}  // namespace

double default_healing_rate(double divergence) {
    return 0.001 * std::sqrt(divergence / 0.5);
}

HealResult heal(const HealOptions& options, Progress& progress) {
    require_sound(options);
    const auto start = Clock::now();
    const GgufReader file(options.model);
    require_writable(options.output, options.overwrite, file.file().size());
    const auto model = open_model(options.model), base = open_model(options.base);
    const Tokenizer tokenizer(model->tokenizer());
    require_base_of(*model, tokenizer, *base);
    const ExampleSet set = make_examples(read_corpus(options.data), tokenizer, options.chunk).first(options.tokens);
    require_two(set);
    TrainedVectors vectors(*model);
    const BackpropagationOptions for_engine = engine_options(options, set);
    Decoder reader(*base,
                   {.context_length = static_cast<std::int32_t>(for_engine.longest_example),
                    .threads = options.threads,
                    .backend = options.backend},
                   progress);
    const Teacher teacher(reader, set.examples, progress);
    const Split examples = split(set, teacher, options.holdout_every);
    Backpropagation engine(*model, for_engine, progress);
    engine.use_row_scales(&vectors.row_scales());

    HealResult result{.n_steps = std::ssize(examples.training),
                      .n_held_out = std::ssize(examples.held_out),
                      .n_tokens = set.n_tokens,
                      .n_values = vectors.n_values(),
                      .held_out_before = divergence(engine, examples.held_out)};
    result.learning_rate =
        options.learning_rate > 0 ? options.learning_rate : default_healing_rate(result.held_out_before);
    progress.note(fmt::format("KL {:.5f} on {} held-out examples; {} values in {} steps at a rate of {:.2g}",
                              result.held_out_before, result.n_held_out, result.n_values, result.n_steps,
                              result.learning_rate));
    train(engine, vectors, examples.training, result.learning_rate, progress);
    result.held_out_after = divergence(engine, examples.held_out);
    if (result.is_better()) write_healed_file(file, vectors.vectors(), options.output, options.overwrite);
    result.seconds = seconds_since(start);
    return result;
}

}  // namespace plasticity
