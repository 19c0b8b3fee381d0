#include "score/gram_collector.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/partial_file.h"
#include "model/tensor_names.h"

namespace plasticity {

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

void GramCollector::add(const WeighedInputs& seen) {
    const auto found = by_matrix_.find(gguf_name(seen.matrices.front()));
    if (found == by_matrix_.end()) return;
    std::vector<float>& waiting = entries_[found->second].waiting;
    const auto width = static_cast<std::size_t>(seen.channels);
    for (std::size_t token = 0; token < seen.energies.size(); ++token) {
        const auto factor = static_cast<float>(std::sqrt(seen.energies[token]));
        if (factor == 0) continue;
        for (const float x : seen.rows.subspan(token * width, width)) waiting.push_back(factor * x);
        waiting_bytes_ += width * sizeof(float);
    }
    if (waiting_bytes_ >= options_.buffer_bytes) flush();
}

/// The sums up to now, with what was waiting.
std::vector<double> GramCollector::take_sums(Entry& entry) {
    std::vector<double> sums(static_cast<std::size_t>(entry.input.packed_length()), 0.0);
    if (sums_) sums_->read(entry.offset, std::as_writable_bytes(std::span(sums)));
    product_.add(entry.waiting, entry.input.width, entry.input.block, sums);
    entry.waiting = {};
    return sums;
}

void GramCollector::flush() {
    std::unique_ptr<ScratchFile> fresh;  // before the first time there is nothing that take_sums() could read
    if (!sums_) fresh = std::make_unique<ScratchFile>(folder_of(options_.target));
    ScratchFile& file = fresh ? *fresh : *sums_;
    for (Entry& entry : entries_) {
        const std::vector<double> sums = take_sums(entry);
        file.write(entry.offset, std::as_bytes(std::span(sums)));
    }
    if (fresh) sums_ = std::move(fresh);
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
