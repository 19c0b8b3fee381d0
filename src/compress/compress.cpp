#include "plasticity/compress.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "artifact/adapted_model.h"
#include "artifact/equalization.h"
#include "artifact/gram.h"
#include "artifact/output_layout.h"
#include "artifact/peft_folder.h"
#include "artifact/recipe.h"
#include "artifact/statistics.h"
#include "compress/feedback_summary.h"
#include "compress/gram_limits.h"
#include "compress/resume_key.h"
#include "compress/source_hashes.h"
#include "compress/tensor_encoder.h"
#include "compress/write_tiles.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/parallel.h"
#include "core/progress.h"
#include "core/units.h"
#include "io/gguf_writer.h"
#include "model/model.h"

namespace plasticity {
namespace {

void require_target_may_be_written(const CompressOptions& options, const Model& model) {
    const auto is_output = [&](const std::optional<std::filesystem::path>& input) {
        std::error_code ignored;
        return input && std::filesystem::equivalent(*input, options.output, ignored);
    };
    if (model.reads_from(options.output) || is_output(options.statistics) || is_output(options.gram))
        throw Error(ErrorKind::kUsage, fmt::format("compress: output {} is one of the inputs; expected another path",
                                                   options.output.string()));
    if (!options.overwrite && std::filesystem::exists(options.output))
        throw Error(ErrorKind::kUsage, fmt::format("compress: {} exists; expected a new path. --force replaces it",
                                                   options.output.string()));
}

std::optional<Statistics> load_optional_statistics(const CompressOptions& options, const Model& model) {
    if (!options.statistics) return std::nullopt;
    return load_statistics(*options.statistics, model.architecture());
}

/// @throws Error (kMalformed) when they are of another model than the one that was planned for
std::optional<GramFile> open_optional_gram(const CompressOptions& options, const Recipe& recipe) {
    if (!options.gram) return std::nullopt;
    std::optional<GramFile> gram(*options.gram);
    gram->require_model(recipe.base_model_sha256);
    return gram;
}

void note_coverage(const OutputLayout& layout, const Statistics& statistics, Progress& progress) {
    std::size_t known = 0, matrices = 0;
    for (const OutputTensor& tensor : layout.tensors) {
        if (!is_matrix(tensor.source->id)) continue;
        ++matrices;
        known += statistics.find(tensor.source->name) != nullptr;
    }
    progress.note(fmt::format("importance weights for {} of {} matrices", known, matrices));
}

bool loses_columns(const OutputTensor& tensor) {
    return !tensor.source->is_vector && tensor.loses_cols();
}

void note_padding(const OutputLayout& layout, const Recipe& recipe, Progress& progress) {
    if (recipe.padding.any()) progress.note(fmt::format("padded with zeros to {}", padding_text(recipe.padding)));
    const auto has_padded_columns = [&](const OutputTensor& tensor) {
        const TensorId& id = tensor.source->id;
        return is_matrix(id) && recipe.assignment_for(hf_name(id))->padded_columns > 0;
    };
    if (const auto n = std::ranges::count_if(layout.tensors, has_padded_columns); n > 0)
        progress.note(
            fmt::format("input columns of {} matrices padded with zeros: only this program runs the file", n));
}

void note_compensation(const OutputLayout& layout, std::uint64_t compensated, Progress& progress) {
    progress.note(fmt::format("compensation in {} of {} matrices that lose input columns", compensated,
                              std::ranges::count_if(layout.tensors, loses_columns)));
}

std::vector<TensorEncoder> make_encoders(const OutputLayout& layout, const Recipe& recipe, const Knowledge& knowledge) {
    std::vector<TensorEncoder> encoders;
    encoders.reserve(layout.tensors.size());
    for (const OutputTensor& tensor : layout.tensors) {
        const QuantAssignment* assignment = recipe.assignment_for(hf_name(tensor.source->id));
        encoders.emplace_back(tensor, knowledge, assignment == nullptr || assignment->error_feedback);
    }
    return encoders;
}

std::vector<std::string> digests_of(const std::vector<HashedFile>& files) {
    std::vector<std::string> digests;
    for (const HashedFile& file : files) digests.push_back(file.sha256);
    return digests;
}

/// @returns the output's SHA-256
std::string write_output(const TileWork& work, const CompressOptions& options, Progress& progress) {
    GgufWriter file(options.output, work.layout.file,
                    {.overwrite = options.overwrite ? Overwrite::kReplace : Overwrite::kRefuse,
                     .resume_key = resume_key(options, work.model)});
    write_tiles(work, file, progress);
    work.model.require_unchanged();
    if (work.gram != nullptr) work.gram->require_unchanged();
    std::string digest = file.sha256();
    file.finish();
    progress.end();
    progress.note(fmt::format("SHA-256 {}  {}", digest, options.output.filename().string()));
    return digest;
}

}  // namespace

CompressResult compress(const CompressOptions& options, const Recipe& recipe, Progress& progress) {
    const auto started = Clock::now();
    auto model = open_model(options.model, options.adapter);
    require_target_may_be_written(options, *model);
    auto statistics = load_optional_statistics(options, *model);
    auto gram = open_optional_gram(options, recipe);
    if (model->tied_copy()) progress.note(describe(*model->tied_copy()));
    equalize(model, statistics, gram, recipe.equalization);
    if (recipe.equalization > 0) progress.note("channels are scaled: an adapter of the base fits the output no more");
    OutputLayout layout = lay_out(*model, recipe, {.with_tokenizer = options.with_tokenizer});
    note_padding(layout, recipe, progress);
    if (options.adapter)
        progress.note(fmt::format("the adapter in {} is merged into the weights", options.adapter->string()));
    if (statistics) note_coverage(layout, *statistics, progress);
    if (recipe.counts_on_feedback && !gram)
        progress.note(
            "types were planned as error feedback leaves them; expected --gram, without it others may be better");
    auto encoders = make_encoders(layout, recipe,
                                  {.statistics = statistics ? &*statistics : nullptr,
                                   .gram = {.file = gram ? &*gram : nullptr, .most_bytes = options.gram_memory_bytes}});
    const auto compensated = static_cast<std::uint64_t>(std::ranges::count_if(encoders, &TensorEncoder::compensates));
    const GramLimits limits = limits_of(encoders);
    if (gram) note_compensation(layout, compensated, progress);
    note_limits(limits, options.gram_memory_bytes, progress);

    std::vector<HashedFile> sources;
    std::string digest;
    if (!options.dry_run) {
        const int threads = thread_count(options.threads);
        sources = hash_sources(*model, threads, progress);
        state_sources(layout, digests_of(sources));
        if (options.adapter)
            sources.push_back({std::string(kPeftWeights), sha256_of_file(*options.adapter / kPeftWeights)});
        digest = write_output({*model, layout, encoders, gram ? &*gram : nullptr, static_cast<std::size_t>(threads)},
                              options, progress);
    }
    const FeedbackSummary feedback = summarise_feedback(encoders);
    if (gram && !options.dry_run) note_feedback(feedback, progress);
    return {.file_bytes = layout.file.file_bytes(),
            .source_bytes = source_bytes(*model),
            .tensors = layout.tensors.size(),
            .compensated = compensated,
            .with_error_feedback = feedback.matrices,
            .output_error_ratio = feedback.mean_ratio,
            .narrowed_by_memory = limits.narrowed,
            .left_out_by_memory = limits.left_out,
            .sources = std::move(sources),
            .sha256 = std::move(digest),
            .seconds = seconds_since(started)};
}

CompressResult compress(const CompressOptions& options, const std::filesystem::path& recipe, Progress& progress) {
    return compress(options, load_recipe(recipe), progress);
}

}  // namespace plasticity
