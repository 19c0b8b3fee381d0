#include "plasticity/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>

#include "artifact/gate_gradients.h"
#include "artifact/statistics.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/units.h"
#include "core/version.h"
#include "engine/backpropagation.h"
#include "engine/tokenizer.h"
#include "io/atomic_file.h"
#include "io/file_identity.h"
#include "model/model.h"
#include "score/accumulate.h"
#include "score/checkpoint.h"
#include "score/curvature_collector.h"
#include "score/examples.h"
#include "score/gram_collector.h"
#include "score/provenance.h"

namespace plasticity {
namespace {

/// F16 keeps three more bits of every weight than BF16 does, and is as exact as the bases that models are published in.
constexpr WeightPrecision kAutomaticPrecision = WeightPrecision::kF16;

WeightPrecision resolve_precision(const std::string& name) {
    const WeightPrecision precision = name == "auto" ? kAutomaticPrecision : parse_weight_precision(name);
    if (precision == WeightPrecision::kStored)
        throw Error(ErrorKind::kUsage, "score: --precision stored; expected f32, f16, bf16 or auto");
    return precision;
}

ScoreProvenance provenance(const Model& model, const ExampleSet& examples, const ScoreOptions& options,
                           WeightPrecision precision) {
    return {
        .model_sha256 = model_sha256(model),
        .tokenizer_sha256 = tokenizer_sha256(model.tokenizer()),
        .data_sha256 = examples.sha256(),
        .chunk = options.chunk,
        .precision = std::string(weight_precision_name(precision)),
        .program_version = std::string(kVersion),
    };
}

/// Everything that the sums depend on, but for the examples that they are over.
/// @param backend  what they are computed on
std::string checkpoint_key(const ScoreOptions& options, const ScoreProvenance& made_from, std::string_view backend) {
    return fmt::format("score {} {} {} {} {} {}\n{} {} {}\n{} {}", made_from.model_sha256, made_from.tokenizer_sha256,
                       made_from.data_sha256, made_from.chunk, made_from.precision, made_from.program_version,
                       options.statistics.has_value(), options.curvature_every, options.seed, program_identity(),
                       backend);
}

/// @returns the checkpoint to keep, after continuing from it where that was asked for
std::optional<Checkpoint> open_checkpoint(const ScoreOptions& options, std::string_view backend,
                                          GateGradients& gradients, Statistics& statistics, Progress& progress) {
    if (!options.checkpoint || options.checkpoint_every < 1 || options.gram) return std::nullopt;
    Checkpoint checkpoint(*options.checkpoint, checkpoint_key(options, gradients.provenance, backend));
    if (!options.resume) return checkpoint;
    if (checkpoint.load(gradients, statistics))
        progress.note(fmt::format("continues after {} examples", gradients.num_steps));
    else if (std::filesystem::exists(*options.checkpoint))
        progress.note(fmt::format("begins anew: {} is of another run", options.checkpoint->string()));
    return checkpoint;
}

BackpropagationOptions engine_options(const ScoreOptions& options, WeightPrecision precision, const ExampleSet& set) {
    BackpropagationOptions engine{.precision = precision, .threads = options.threads, .backend = options.backend};
    for (const Example& example : set.examples)
        engine.longest_example = std::max<std::int64_t>(engine.longest_example, std::ssize(example.tokens));
    return engine;
}

Statistics empty_statistics(const ScoreOptions& options) {
    Statistics statistics;
    for (const auto& path : options.data) statistics.datasets.push_back(path.filename().string());
    statistics.chunk_size = options.chunk;
    return statistics;
}

/// Of the examples that are left; a checkpoint of these very examples never counts more of them.
std::size_t first_example(const GateGradients& gradients, const ExampleSet& set) {
    return std::min(static_cast<std::size_t>(gradients.num_steps), set.examples.size());
}

void require_gram_possible(const ScoreOptions& options) {
    if (!options.gram) return;
    if (options.curvature_every == 0)
        throw Error(ErrorKind::kUsage,
                    "score: Gram matrices without curvature; expected --curvature-every of at least 1: tokens are "
                    "weighed by the gradients that it draws");
    if (options.resume)
        throw Error(ErrorKind::kUsage,
                    "score: --resume with --gram; Gram matrices are too large to be kept in "
                    "checkpoints. Leave one of the two out");
}

/// Tokens of the examples that labels are drawn for.
std::int64_t n_curvature_tokens(const ExampleSet& set, std::int32_t every) {
    std::int64_t n = 0;
    for (std::size_t i = 0; i < set.examples.size(); i += static_cast<std::size_t>(every))
        n += std::ssize(set.examples[i].tokens);
    return n;
}

/// Nothing where no Gram matrices are asked for. Says how large the file will be, and fails now if it cannot be.
std::optional<GramCollector> make_gram_collector(const ScoreOptions& options, const Architecture& architecture,
                                                 const ExampleSet& set, const GateGradients& gradients,
                                                 Progress& progress) {
    if (!options.gram) return std::nullopt;
    GramHeader header{.inputs = gram_inputs(architecture, progress),
                      .weighting = "gradient",
                      .datasets = empty_statistics(options).datasets,
                      .model_sha256 = gradients.provenance.model_sha256};
    const GramCollectorOptions how{.target = *options.gram,
                                   .overwrite = options.overwrite ? Overwrite::kReplace : Overwrite::kRefuse,
                                   .threads = options.threads};
    const std::int64_t n_tokens = n_curvature_tokens(set, options.curvature_every);
    const std::uint64_t on_disk = GramCollector::disk_bytes(header, n_tokens, how.buffer_bytes);
    progress.note(fmt::format("Gram matrices of {} inputs over {} tokens: {}, {} on disk while they are summed",
                              header.inputs.size(), n_tokens, format_bytes(gram_file_bytes(header)),
                              format_bytes(on_disk)));
    require_writable(how.target, how.overwrite, on_disk);
    return std::optional<GramCollector>(std::in_place, std::move(header), how);
}

}  // namespace

GateGradients score(const ScoreOptions& options, Progress& progress) {
    if (options.statistics && !options.overwrite && std::filesystem::exists(*options.statistics))
        throw Error(ErrorKind::kUsage,
                    fmt::format("score: {} exists; pass --force to replace it", options.statistics->string()));
    require_gram_possible(options);
    const WeightPrecision precision = resolve_precision(options.precision);
    const auto model = open_model(options.model);
    const Tokenizer tokenizer(model->tokenizer());
    const ExampleSet set =
        make_examples(read_corpus(options.data), tokenizer, {.chunk = options.chunk, .max_tokens = options.max_tokens});
    if (set.n_shortened > 0)
        progress.note(fmt::format("{} records were cut at {} tokens", set.n_shortened, kMaxRecordTokens));

    Backpropagation engine(*model, engine_options(options, precision, set), progress);
    GateGradients gradients = empty_gate_gradients(model->architecture());
    gradients.model_name = model->architecture().model_name;
    gradients.provenance = provenance(*model, set, options, precision);
    Statistics statistics = empty_statistics(options);
    ActivationObserver observer;
    if (options.statistics)
        observer = [&](std::span<const TensorId> matrices, std::span<const float> rows, std::int64_t channels) {
            add_activations(statistics, matrices, rows, channels);
        };
    std::optional<GramCollector> gram = make_gram_collector(options, model->architecture(), set, gradients, progress);
    const CurvatureCollector curvature(engine, statistics, {.every = options.curvature_every, .seed = options.seed},
                                       gram ? &*gram : nullptr);

    const std::optional<Checkpoint> checkpoint =
        open_checkpoint(options, engine.backend_label(), gradients, statistics, progress);
    progress.begin("score", static_cast<std::uint64_t>(set.n_tokens), "tokens");
    for (const Example& example : std::span(set.examples).subspan(first_example(gradients, set))) {
        add_example(gradients, example, engine.run(example, observer));
        if (options.statistics || gram) curvature.collect(example, gradients.num_steps - 1);
        statistics.chunk_count += 1;
        if (checkpoint && gradients.num_steps % options.checkpoint_every == 0) checkpoint->save(gradients, statistics);
        progress.advance(example.tokens.size(), fmt::format("loss {:.3f}", gradients.mean_loss));
    }
    progress.end();
    model->require_unchanged();
    if (options.statistics)
        save_statistics(statistics, *options.statistics, options.overwrite ? Overwrite::kReplace : Overwrite::kRefuse);
    if (gram) gram->finish();
    return gradients;
}

}  // namespace plasticity
