#include "cli/comparing.h"

#include <fmt/format.h>

#include <deque>
#include <memory>
#include <numeric>

#include "cli/speed_turn.h"
#include "core/error.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "engine/evaluate.h"
#include "engine/this_machine.h"
#include "io/corpus.h"
#include "model/model.h"

namespace plasticity {
namespace {

using Models = std::vector<std::unique_ptr<Model>>;  ///< the base first

/// Memory that a decoder takes beside its weights: keys and values of a chunk, graphs, logits.
constexpr std::uint64_t kBesideWeights = std::uint64_t{512} << 20;

Models open_all(const CompareCommand& command) {
    Models models;
    models.push_back(open_model(command.base));
    for (const auto& path : command.files) models.push_back(open_model(path));
    const std::int32_t n_vocab = models.front()->architecture().n_vocab;
    for (const auto& model : models) {
        const Architecture& architecture = model->architecture();
        if (architecture.experts.count > 0)
            throw Error(ErrorKind::kUsage, fmt::format("bench compare: {} is a mixture of experts, which this program "
                                                       "does not run; expected a dense model",
                                                       model->path().string()));
        if (architecture.n_vocab != n_vocab)
            throw Error(ErrorKind::kMalformed,
                        fmt::format("bench compare: {} has {} tokens, the base {}; expected files of one base",
                                    model->path().string(), architecture.n_vocab, n_vocab));
    }
    return models;
}

std::vector<ComparedFile> describe(const CompareCommand& command, const Models& models) {
    const auto weights_of_base = static_cast<double>(weight_count(*models.front()));
    std::vector<ComparedFile> files;
    for (std::size_t i = 0; i < models.size(); ++i) {
        const std::uint64_t bytes = source_bytes(*models[i]);
        files.push_back({.path = (i == 0 ? command.base : command.files[i - 1]).string(),
                         .architecture = models[i]->architecture().name,
                         .file_bytes = bytes,
                         .bits_per_weight = 8 * static_cast<double>(bytes) / weights_of_base,
                         .quality = std::nullopt,
                         .running = std::nullopt});
    }
    return files;
}

/// Files from `first` on that memory holds beside the base at once, one at least.
/// @param files  the base first
std::size_t group_size(const std::vector<ComparedFile>& files, std::size_t first) {
    const std::uint64_t available = available_memory_bytes().value_or(0) / 10 * 8;
    std::uint64_t taken = files[first].file_bytes + kBesideWeights;
    std::size_t n = 1;
    while (first + n < files.size()) {
        taken += files[first + n].file_bytes + kBesideWeights;
        if (taken > available) break;
        ++n;
    }
    return n;
}

/// @returns what the models ran on
std::string measure_quality(const CompareCommand& command, const Models& models, Comparison& comparison,
                            Progress& progress) {
    const Tokenizer tokenizer(models.front()->tokenizer());
    const EvaluationText text =
        prepare_evaluation(tokenizer, read_plain_text(command.data), command.context, command.chunks);
    comparison.settings.chunks = text.n_chunks;
    const DecoderOptions options{
        .context_length = command.context, .threads = command.common.threads, .backend = command.backend};
    Decoder base(*models.front(), options, progress);
    const bool on_device = base.backend_label() != "CPU";  // whose memory is not ours to share out
    for (std::size_t first = 1; first < models.size();) {
        const std::size_t n = on_device ? 1 : group_size(comparison.files, first);
        std::deque<Decoder> decoders;
        std::vector<Decoder*> group;
        for (std::size_t i = first; i < first + n; ++i)
            group.push_back(&decoders.emplace_back(*models[i], options, progress));
        const auto panels = compare(base, group, text, progress);
        for (std::size_t i = 0; i < n; ++i) comparison.files[first + i].quality = panels[i];
        first += n;
    }
    return base.backend_label();
}

/// By turns, so that what the machine does meanwhile strikes all files alike.
void measure_running(const CompareCommand& command, Comparison& comparison, Progress& progress) {
    if (command.prompt_tokens == 0 && command.generated_tokens == 0) return;
    const auto rounds = static_cast<std::uint64_t>(command.rounds);
    progress.begin("speed and memory", rounds * comparison.files.size(), "turns");
    for (std::int32_t round = 0; round < command.rounds; ++round)
        for (ComparedFile& file : comparison.files) {
            if (!file.running) file.running.emplace();
            take_speed_turn(command, file.path, *file.running);
            progress.advance(1, file.path);
        }
    progress.end();
}

}  // namespace

Comparison compare_files(const CompareCommand& command, Progress& progress) {
    const Models models = open_all(command);
    Comparison comparison{.machine = {},
                          .settings = {.data = {},
                                       .context = command.context,
                                       .chunks = command.chunks,
                                       .prompt_tokens = command.prompt_tokens,
                                       .generated_tokens = command.generated_tokens,
                                       .rounds = command.rounds,
                                       .threads = thread_count(command.common.threads)},
                          .files = describe(command, models)};
    for (const auto& path : command.data) comparison.settings.data.push_back(path.string());
    if (command.dry_run) return comparison;
    comparison.machine = this_machine(measure_quality(command, models, comparison, progress));
    measure_running(command, comparison, progress);
    return comparison;
}

}  // namespace plasticity
