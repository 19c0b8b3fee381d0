#include "score/gram_collector.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "io/partial_file.h"
#include "model/tensor_names.h"

namespace plasticity {
namespace {

/// That pass through a block before the next, so that rows of few inputs wait together.
constexpr std::int64_t kTokensTogether = 16384;

}  // namespace

std::vector<GramInput> gram_inputs(const Architecture& architecture, Progress& progress) {
    using R = TensorRole;
    std::vector<GramInput> inputs;
    const auto add = [&](const TensorId& matrix, std::int64_t width) {
        const std::string name = gguf_name(matrix);
        if (const auto block = gram_block(width))
            inputs.push_back({.matrix = name, .width = width, .block = *block});
        else
            progress.note(fmt::format("no Gram matrix of {}: its {} channels do not divide into few blocks of up to {}",
                                      name, width, kMaxGramBlock));
    };
    for (std::int32_t layer = 0; layer < architecture.n_layer(); ++layer) {
        const LayerGeometry& geometry = architecture.layers[static_cast<std::size_t>(layer)];
        if (geometry.n_head > 0) {
            add({R::kQuery, layer}, architecture.n_embd);
            add({R::kAttentionOutput, layer}, std::int64_t{geometry.n_head} * architecture.head_dim);
        }
        add({R::kGate, layer}, architecture.n_embd);
        add({R::kDown, layer}, geometry.n_ff);
    }
    add({architecture.tied_embeddings ? R::kTokenEmbedding : R::kOutput}, architecture.n_embd);
    return inputs;
}

std::uint64_t gram_memory_bytes(const Architecture& architecture, std::uint64_t buffer_bytes) {
    std::int64_t largest = 0;
    for (const GramInput& input : gram_inputs(architecture, *make_progress(ProgressStyle::kQuiet)))
        largest = std::max(largest, input.packed_length());
    constexpr std::uint64_t kCopies = 3;  // sums, what is added to them, and what is written
    return 2 * buffer_bytes + kCopies * sizeof(double) * static_cast<std::uint64_t>(largest);
}

GramCollector::GramCollector(GramHeader header, const GramCollectorOptions& options)
    : header_(std::move(header)), options_(options), backend_(options.threads), product_(backend_) {
    std::uint64_t offset = 0;
    for (const GramInput& input : header_.inputs) {
        by_matrix_[input.matrix] = entries_.size();
        entries_.push_back({.input = input, .offset = offset});
        offset += static_cast<std::uint64_t>(input.packed_length()) * sizeof(double);
    }
}

void GramCollector::add(std::span<const TensorId> matrices, std::span<const float> rows, std::int64_t channels) {
    const auto found = by_matrix_.find(gguf_name(matrices.front()));
    if (found == by_matrix_.end()) return;
    if (found->second == 0) header_.n_tokens += std::ssize(rows) / channels;
    std::vector<float>& waiting = entries_[found->second].waiting;
    waiting.insert(waiting.end(), rows.begin(), rows.end());
    waiting_bytes_ += rows.size_bytes();
    if (waiting_bytes_ >= options_.buffer_bytes) store_sums();
}

void GramCollector::collect(Backpropagation& engine, const ExampleSet& set, Progress& progress) {
    const auto n_tokens_at = [&](std::size_t i) { return std::ssize(set.examples[i].tokens); };
    const auto add_rows = [&](auto matrices, auto rows, auto channels) { add(matrices, rows, channels); };
    progress.begin("Gram matrices", static_cast<std::uint64_t>(set.n_tokens), "tokens");
    for (std::size_t first = 0, end = 0; first < set.examples.size(); first = end) {
        end = end_of_group(first, set.examples.size(), kTokensTogether, n_tokens_at);
        std::int64_t n_tokens = 0;
        for (std::size_t i = first; i < end; ++i) n_tokens += n_tokens_at(i);
        std::uint64_t n_shown = 0;
        engine.observe(std::span(set.examples).subspan(first, end - first), add_rows, [&](double share) {
            const auto n = static_cast<std::uint64_t>(share * static_cast<double>(n_tokens));
            progress.advance(n - n_shown);
            n_shown = n;
        });
    }
    progress.end();
}

/// The sums up to now, with what was waiting.
std::vector<double> GramCollector::take_sums(Entry& entry) {
    std::vector<double> sums(static_cast<std::size_t>(entry.input.packed_length()), 0.0);
    if (entry.is_stored) sums_->read(entry.offset, std::as_writable_bytes(std::span(sums)));
    const std::vector<float> rows = std::exchange(entry.waiting, std::vector<float>());  // which frees their memory
    product_.add(rows, entry.input.width, entry.input.block, sums);
    return sums;
}

void GramCollector::store_sums() {
    if (!sums_) sums_ = std::make_unique<ScratchFile>(folder_of(options_.target));
    for (Entry& entry : entries_) {
        if (entry.waiting.empty()) continue;
        const std::vector<double> sums = take_sums(entry);
        sums_->write(entry.offset, std::as_bytes(std::span(sums)));
        entry.is_stored = true;
    }
    waiting_bytes_ = 0;
}

void GramCollector::finish() {
    GramWriter file(options_.target, header_, options_.overwrite);
    for (Entry& entry : entries_) {
        const std::vector<double> sums = take_sums(entry);
        file.write(entry.input, std::vector<float>(sums.begin(), sums.end()));
    }
    file.finish();
}

std::uint64_t GramCollector::disk_bytes(const GramHeader& header, std::int64_t n_tokens, std::uint64_t buffer_bytes) {
    std::uint64_t channels = 0, entries = 0;
    for (const GramInput& input : header.inputs) {
        channels += static_cast<std::uint64_t>(input.width);
        entries += static_cast<std::uint64_t>(input.packed_length());
    }
    const bool fits = static_cast<std::uint64_t>(n_tokens) * channels * sizeof(float) < buffer_bytes;
    return gram_file_bytes(header) + (fits ? 0 : entries * sizeof(double));
}

}  // namespace plasticity
