#include "plasticity/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "artifact/gate_gradients.h"
#include "artifact/lora_rows.h"
#include "artifact/peft_folder.h"
#include "artifact/statistics.h"
#include "core/error.h"
#include "core/memory.h"
#include "core/progress.h"
#include "core/units.h"
#include "core/version.h"
#include "engine/backpropagation.h"
#include "engine/examples.h"
#include "engine/tokenizer.h"
#include "io/atomic_file.h"
#include "io/file_identity.h"
#include "model/model.h"
#include "score/accumulate.h"
#include "score/checkpoint.h"
#include "score/curvature_collector.h"
#include "score/example_order.h"
#include "score/fine_tune.h"
#include "score/gram_collector.h"
#include "score/initial_adapter.h"
#include "score/option_checks.h"
#include "score/provenance.h"
#include "score/scoring_pass.h"
#include "score/team.h"

namespace plasticity {
namespace {

/// Of gate gradients and statistics, in memory and on their way to a file.
constexpr std::uint64_t kRoomForSums = std::uint64_t{64} << 20;

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

std::string training_key(const ScoreOptions& options, const ScoreProvenance& made_from) {
    std::string key = "\nadapter " + made_from.adapter_sha256;
    if (const auto& o = options.fine_tune)
        key += fmt::format(" epochs {} lr {} warmup {} decay {} dropout {} batch {} holdout {} shuffle {}", o->epochs,
                           o->learning_rate, o->warmup, o->weight_decay, o->dropout, o->batch, o->holdout_every,
                           o->shuffle);
    return key;
}

/// Everything that the sums depend on, but for the examples that they are over.
/// @param backend  what they are computed on
std::string checkpoint_key(const ScoreOptions& options, const ScoreProvenance& made_from, std::string_view backend) {
    return fmt::format("score {} {} {} {} {} {}\n{} {} {}\n{}\n{} {}", made_from.model_sha256,
                       made_from.tokenizer_sha256, made_from.data_sha256, made_from.chunk, made_from.precision,
                       made_from.program_version, options.statistics.has_value(), options.curvature_every, options.seed,
                       options.slice, program_identity(), backend) +
           training_key(options, made_from);
}

ActivationObserver activation_sums(Statistics& statistics) {
    return [&](std::span<const TensorId> matrices, std::span<const float> rows, std::int64_t channels) {
        add_activations(statistics, matrices, rows, channels);
    };
}

/// Rows that wait for a Gram matrix; of a limit on memory, only a part.
std::uint64_t gram_buffer_bytes(const ScoreOptions& options) {
    return options.memory_bytes == 0 ? kGramBufferBytes : std::min(kGramBufferBytes, options.memory_bytes / 8);
}

/// What lies in memory beside the engine: all so far, the adapter with gradients and moments, Gram matrices' rows with
/// the largest of their sums, and the sums of a checkpoint.
std::uint64_t reserved_memory(const ScoreOptions& options, const Architecture& architecture,
                              const LoraAdapter* adapter) {
    std::uint64_t bytes = peak_resident_bytes().value_or(0) + kRoomForSums;
    constexpr std::uint64_t kCopies = 6;  // values, gradients, two moments, and two of them in a checkpoint
    if (adapter != nullptr)
        for (const LoraMatrix& matrix : adapter->matrices)
            bytes += kCopies * sizeof(float) * (matrix.a.size() + matrix.b.size());
    if (options.gram) bytes += gram_memory_bytes(architecture, gram_buffer_bytes(options));
    return bytes;
}

/// That may share this machine's memory.
std::uint64_t n_processes(const ScoreOptions& options) {
    return options.ranks != nullptr ? static_cast<std::uint64_t>(options.ranks->size()) : 1;
}

/// What is scored, and what Gram matrices are of.
struct Examples {
    ExampleSet scored, gram;
};

Examples read_examples(const ScoreOptions& options, const Tokenizer& tokenizer, Progress& progress) {
    const ExampleSet all = make_examples(read_corpus(options.data), tokenizer, options.chunk);
    if (all.n_shortened > 0)
        progress.note(fmt::format("{} records were cut at {} tokens", all.n_shortened, kMaxRecordTokens));
    return {.scored = all.first(options.max_tokens),
            .gram = options.gram ? all.first(options.gram_tokens) : ExampleSet{}};
}

BackpropagationOptions engine_options(const ScoreOptions& options, const Architecture& architecture,
                                      WeightPrecision precision, const Examples& sets, const LoraAdapter* adapter) {
    BackpropagationOptions engine{.precision = precision,
                                  .threads = options.threads,
                                  .backend = options.backend,
                                  .longest_example = std::max(sets.scored.longest(), sets.gram.longest()),
                                  .memory_limit = {},
                                  .reserved_memory = reserved_memory(options, architecture, adapter),
                                  .spill_folder = options.spill_folder};
    if (options.memory_bytes > 0)
        engine.memory_limit = options.memory_bytes;
    else if (const auto free = available_memory_bytes())
        engine.memory_limit = *free / n_processes(options) + peak_resident_bytes().value_or(0);
    return engine;
}

Statistics empty_statistics(const ScoreOptions& options) {
    Statistics statistics;
    for (const auto& path : options.data) statistics.datasets.push_back(path.filename().string());
    statistics.chunk_size = options.chunk;
    return statistics;
}

/// Which examples are scored. @throws Error (kUsage) where there are too few for every slice to have one
ScoreSlice slice_of(const ScoreOptions& options, const ExampleSet& set) {
    ScoreSlice slice = options.slice.empty() ? ScoreSlice{} : parse_score_slice(options.slice);
    slice.n_examples = std::ssize(set.examples);
    if (slice.n_examples < slice.count)
        throw Error(ErrorKind::kUsage, fmt::format("score: {} examples in {} slices; expected at least one in each",
                                                   slice.n_examples, slice.count));
    return slice;
}

/// Says in the results that they are of a slice, so that they can be merged.
void mark_slice(const ScoreOptions& options, const ScoreSlice& slice, GateGradients& gradients,
                Statistics& statistics) {
    if (options.slice.empty()) return;
    gradients.slice = GateSlice{.part = slice, .first_gradients = gradients.absolute_sums};
    statistics.origin = StatisticsOrigin{.provenance = gradients.provenance,
                                         .slice = slice,
                                         .curvature_every = options.curvature_every,
                                         .seed = options.seed};
}

/// Nothing where no Gram matrices are asked for. Says how large the file will be, and fails now if it cannot be.
std::optional<GramCollector> make_gram_collector(const ScoreOptions& options, const Architecture& architecture,
                                                 std::int64_t n_tokens, const std::string& model_sha256,
                                                 Progress& progress) {
    if (!options.gram) return std::nullopt;
    GramHeader header{.inputs = gram_inputs(architecture, progress),
                      .datasets = empty_statistics(options).datasets,
                      .model_sha256 = model_sha256};
    const GramCollectorOptions how{.target = *options.gram,
                                   .overwrite = options.overwrite ? Overwrite::kReplace : Overwrite::kRefuse,
                                   .threads = options.threads,
                                   .buffer_bytes = gram_buffer_bytes(options)};
    const std::uint64_t on_disk = GramCollector::disk_bytes(header, n_tokens, how.buffer_bytes);
    progress.note(fmt::format("Gram matrices of {} inputs over {} tokens: {}, {} on disk while they are summed",
                              header.inputs.size(), n_tokens, format_bytes(gram_file_bytes(header)),
                              format_bytes(on_disk)));
    require_writable(how.target, how.overwrite, on_disk);
    return std::optional<GramCollector>(std::in_place, std::move(header), how);
}

/// Nothing where no adapter is asked for.
std::optional<LoraAdapter> starting_adapter(const ScoreOptions& options, const Architecture& architecture) {
    if (options.adapter) return load_peft_folder(*options.adapter, architecture);
    if (options.fine_tune)
        return initial_adapter(architecture, *options.fine_tune, seed_of(RandomUse::kAdapter, options.seed));
    return std::nullopt;
}

/// The same for every form of the model: of the rows as Hugging Face orders them.
std::string adapter_sha256(const LoraAdapter& adapter, const Architecture& architecture) {
    return in_rope_layout(adapter, architecture, architecture.rope_layout, RopeLayout::kNeox).sha256();
}

bool trains(const ScoreOptions& options) {
    return options.fine_tune && options.fine_tune->epochs > 0;
}

ExampleOrder order_of_examples(const ScoreOptions& options, const ScoreSlice& slice, const ExampleSet& set) {
    return trains(options)
               ? training_order(set.examples.size(), *options.fine_tune, seed_of(RandomUse::kShuffle, options.seed))
               : plain_order(slice);
}

/// Sums so far, and what they are part of.
struct Results {
    GateGradients gradients;
    Statistics statistics;
    std::optional<FineTune> training;
};

/// All processes stand at the same example: one that was killed may have kept an earlier checkpoint than others.
bool all_agree(const Team& team, std::int64_t n_steps) {
    const double mine = static_cast<double>(n_steps);
    const auto all = team.share(std::span(&mine, 1));
    return std::ranges::all_of(all, [&](const std::vector<double>& theirs) { return theirs.front() == mine; });
}

/// @returns the checkpoint to keep, after continuing from it where that was asked for
std::optional<Checkpoint> open_checkpoint(const ScoreOptions& options, std::string_view backend, const Team& team,
                                          Results& results, Progress& progress) {
    if (!options.checkpoint || options.checkpoint_every < 1) return std::nullopt;
    Checkpoint checkpoint(*options.checkpoint, checkpoint_key(options, results.gradients.provenance, backend) +
                                                   fmt::format("\n{} of {}", team.rank(), team.size()));
    if (!options.resume) return checkpoint;
    GateGradients gradients = results.gradients;
    Statistics statistics = results.statistics;
    Checkpoint::Further further;
    const bool is_found = checkpoint.load(gradients, statistics, further);
    if (all_agree(team, is_found ? gradients.num_steps : 0) && is_found &&
        (!results.training || results.training->restore(further))) {
        results.gradients = std::move(gradients);
        results.statistics = std::move(statistics);
        progress.note(fmt::format("continues after {} examples", results.gradients.num_steps));
    } else if (std::filesystem::exists(*options.checkpoint)) {
        progress.note(fmt::format("begins anew: {} is of another run", options.checkpoint->string()));
    }
    return checkpoint;
}

void save_results(const ScoreOptions& options, const Architecture& architecture, const Results& results,
                  const std::optional<LoraAdapter>& adapter) {
    const Overwrite overwrite = options.overwrite ? Overwrite::kReplace : Overwrite::kRefuse;
    if (options.statistics) save_statistics(results.statistics, *options.statistics, overwrite);
    if (options.save_adapter) save_peft_folder(*adapter, architecture, *options.save_adapter, overwrite);
}

}  // namespace

GateGradients score(const ScoreOptions& options, Progress& progress) {
    require_possible(options);
    if (options.memory_bytes > 0) return_freed_memory();
    const WeightPrecision precision = resolve_precision(options);
    const auto model = open_model(options.model);
    const Architecture& architecture = model->architecture();
    const Tokenizer tokenizer(model->tokenizer());
    const Examples examples = read_examples(options, tokenizer, progress);
    const ExampleSet& set = examples.scored;
    const ScoreSlice slice = slice_of(options, set);
    const ExampleOrder order = order_of_examples(options, slice, set);
    std::optional<LoraAdapter> adapter = starting_adapter(options, architecture);

    Backpropagation engine(
        *model, engine_options(options, architecture, precision, examples, adapter ? &*adapter : nullptr), progress);
    if (adapter) engine.use_adapter(&*adapter);
    Results results{
        .gradients = empty_gate_gradients(architecture), .statistics = empty_statistics(options), .training{}};
    results.gradients.model_name = architecture.model_name;
    results.gradients.provenance = provenance(*model, set, options, precision);
    if (adapter) results.gradients.provenance.adapter_sha256 = adapter_sha256(*adapter, architecture);
    mark_slice(options, slice, results.gradients, results.statistics);
    const Team team(options.ranks != nullptr ? *options.ranks : alone(), engine.tokens_at_once());
    if (trains(options))
        results.training.emplace(
            engine, *adapter,
            FineTunePlan{.options = *options.fine_tune, .seed = options.seed, .n_per_epoch = order.n_per_epoch}, team);

    std::optional<GramCollector> gram = make_gram_collector(options, architecture, examples.gram.n_tokens,
                                                            results.gradients.provenance.model_sha256, progress);
    const CurvatureCollector curvature(results.statistics, {.every = options.curvature_every, .seed = options.seed});
    const std::optional<Checkpoint> checkpoint =
        open_checkpoint(options, engine.backend_label(), team, results, progress);
    run_pass({.engine = engine,
              .set = set,
              .order = order,
              .team = team,
              .gradients = results.gradients,
              .statistics = results.statistics,
              .observer = options.statistics ? activation_sums(results.statistics) : ActivationObserver{},
              .curvature = options.statistics || gram ? &curvature : nullptr,
              .training = results.training ? &*results.training : nullptr,
              .checkpoint = checkpoint ? &*checkpoint : nullptr,
              .checkpoint_every = options.checkpoint_every},
             progress);
    if (gram) gram->collect(engine, examples.gram, progress);
    model->require_unchanged();
    if (results.training) results.gradients.fine_tune = results.training->record();
    if (options.statistics) team.add_up(results.statistics);
    if (team.rank() == 0) save_results(options, architecture, results, adapter);
    if (gram) gram->finish();
    return std::move(results.gradients);
}

}  // namespace plasticity
