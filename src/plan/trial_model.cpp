#include "plan/trial_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "artifact/importance.h"
#include "artifact/output_layout.h"
#include "core/interrupt.h"
#include "core/parallel.h"
#include "engine/decoder_memory.h"
#include "engine/decoder_pass.h"

namespace plasticity {

Divergence mean_divergence(const std::vector<double>& values) {
    const auto n = static_cast<double>(values.size());
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
    double squares = 0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    return {mean, n > 1 ? std::sqrt(squares / (n - 1) / n) : 0};
}

std::uint64_t trial_bytes(const Model& model, const EvaluationText& text, bool rows_change) {
    const Architecture& architecture = model.architecture();
    std::uint64_t base = 0, weights = 0;
    for (const ModelTensor& tensor : model.tensors()) {
        base += tensor.bytes();
        if (!tensor.is_vector) weights += static_cast<std::uint64_t>(tensor.rows * tensor.cols);
    }
    const std::uint64_t replaced = rows_change ? 2 * weights : weights * 17 / 16;
    const auto n_embd = static_cast<std::uint64_t>(architecture.n_embd);
    const std::uint64_t hidden = static_cast<std::uint64_t>(text.positions()) * n_embd * sizeof(float);
    const std::uint64_t logits = 2 * kLogitRows * static_cast<std::uint64_t>(architecture.n_vocab) * sizeof(float);
    return base + replaced + hidden + 2 * logits + kv_cache_bytes(architecture, text.context, GGML_TYPE_F16) +
           decoder_memory(architecture, text.context).total();
}

TrialModel::TrialModel(const Model& model, const Statistics& statistics, EvaluationText text,
                       const TrialOptions& options, Progress& progress)
    : model_(model),
      statistics_(statistics),
      text_(std::move(text)),
      options_(options),
      backend_(options.threads),
      decoder_(model, {.context_length = text_.context, .threads = options.threads}, progress) {
    progress.begin("base on calibration text",
                   static_cast<std::uint64_t>(text_.n_chunks) * static_cast<std::uint64_t>(text_.context), "tokens");
    for (std::int32_t index = 0; index < text_.n_chunks; ++index) {
        const std::vector<std::int32_t> chunk = text_.chunk(index);
        decoder_.clear();
        decoder_.feed_hidden(std::span(chunk).first(chunk.size() - 1), static_cast<std::size_t>(text_.first_scored()),
                             base_hidden_);
        progress.advance(chunk.size());
    }
    progress.end();
}

void TrialModel::release(const ModelTensor& matrix) {
    const auto key = keys_.find(matrix.name);
    if (key == keys_.end()) return;
    cache_.at(key->second).in_use = false;
    keys_.erase(key);
}

void TrialModel::set(const ModelTensor& matrix, const MatrixForm& form) {
    release(matrix);
    if (form.type == matrix.type && form.keeps_rows(matrix)) return decoder_.replace(matrix.id, nullptr);
    decoder_.replace(matrix.id, cached(matrix, form).made.tensor);
}

void TrialModel::set(const Recipe& recipe) {
    for (const ModelTensor& tensor : model_.tensors()) {
        if (!is_matrix(tensor.id)) continue;
        throw_if_interrupted();
        // Of a block without attention nothing is written; its zero heads are those of the output projection.
        if (recipe.assignment_for(hf_name(tensor.id)) == nullptr) continue;
        set(tensor, form_of(recipe, tensor, model_.architecture()));
    }
    evict();
}

void TrialModel::restore() {
    for (const ModelTensor& tensor : model_.tensors()) {
        if (!is_matrix(tensor.id)) continue;
        release(tensor);
        decoder_.replace(tensor.id, nullptr);
    }
}

const TrialModel::Cached& TrialModel::cached(const ModelTensor& matrix, const MatrixForm& form) {
    const std::string key = matrix.name + ' ' + form.text();
    auto found = cache_.find(key);
    if (found == cache_.end()) {
        evict();
        const std::vector<float> importance = channel_importance(statistics_, matrix);
        found = cache_
                    .emplace(key, Cached{.made = make_trial_matrix(model_, matrix, form, backend_,
                                                                   {importance, backend_.threads()})})
                    .first;
    }
    found->second.used_at = ++clock_;
    found->second.in_use = true;
    keys_[matrix.name] = key;
    return found->second;
}

/// What was longest not in use goes first.
void TrialModel::evict() {
    std::uint64_t idle_bytes = 0;
    for (const auto& [key, entry] : cache_) idle_bytes += entry.in_use ? 0 : entry.made.bytes();
    while (idle_bytes > options_.cache_bytes) {
        auto oldest = cache_.end();
        for (auto entry = cache_.begin(); entry != cache_.end(); ++entry)
            if (!entry->second.in_use && (oldest == cache_.end() || entry->second.used_at < oldest->second.used_at))
                oldest = entry;
        idle_bytes -= oldest->second.made.bytes();
        cache_.erase(oldest);
    }
}

std::vector<double> TrialModel::divergence(std::int32_t index) {
    const std::vector<std::int32_t> chunk = text_.chunk(index);
    const auto width = static_cast<std::size_t>(model_.architecture().n_embd);
    const auto n_vocab = static_cast<std::size_t>(model_.architecture().n_vocab);
    std::vector<float> hidden, base_logits, logits;
    decoder_.clear();
    decoder_.feed_hidden(std::span(chunk).first(chunk.size() - 1), static_cast<std::size_t>(text_.first_scored()),
                         hidden);
    const std::size_t n_positions = hidden.size() / width;
    const auto base_hidden =
        std::span(base_hidden_).subspan(static_cast<std::size_t>(index) * hidden.size(), hidden.size());
    std::vector<double> values(n_positions);
    for (std::size_t first = 0; first < n_positions; first += kLogitRows) {
        throw_if_interrupted();
        const std::size_t n = std::min(kLogitRows, n_positions - first);
        decoder_.compute_logits(base_hidden.subspan(first * width, n * width), OutputMatrix::kLoaded, base_logits);
        decoder_.compute_logits(std::span(hidden).subspan(first * width, n * width), OutputMatrix::kInUse, logits);
        parallel_for(backend_.threads(), n, [&](std::size_t i) {
            values[first + i] = kl_divergence(std::span(base_logits).subspan(i * n_vocab, n_vocab),
                                              std::span(logits).subspan(i * n_vocab, n_vocab));
        });
    }
    return values;
}

std::vector<double> TrialModel::divergence(std::int32_t first_chunk, std::int32_t end_chunk) {
    std::vector<double> values;
    for (std::int32_t chunk = first_chunk; chunk < end_chunk; ++chunk) {
        const std::vector<double> of_chunk = divergence(chunk);
        values.insert(values.end(), of_chunk.begin(), of_chunk.end());
    }
    return values;
}

}  // namespace plasticity
