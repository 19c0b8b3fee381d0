#include "plan/damage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <mutex>
#include <numeric>
#include <span>

#include "artifact/importance.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/parallel.h"
#include "io/dequantize.h"
#include "model/column_padding.h"
#include "plan/factor_workers.h"
#include "plan/input_feedback.h"
#include "plan/row_sample.h"
#include "quant/block_quantizer.h"

namespace plasticity {
namespace {

/// Of the rows that are quantised, those that error feedback is tried on.
constexpr std::size_t kRowsWithFeedback = 64;

/// The ways in which a matrix is used: a tied embedding is read by rows and multiplied with.
std::vector<std::string> uses_of(const Model& model, const ModelTensor& matrix) {
    if (matrix.id.role != TensorRole::kTokenEmbedding) return {matrix.name};
    std::vector<std::string> uses{lookup_key(matrix.name)};
    if (model.find({TensorRole::kOutput}) == nullptr) uses.push_back(matrix.name);
    return uses;
}

/// Sampled rows of one matrix in one use, and what an error in them costs.
struct WeighedRows {
    WeighedRows(const Model& model, const ModelTensor& matrix, const CurvatureStatistics& curvature, std::size_t n)
        : sample(sample_rows(curvature.rows, n)),
          cols(static_cast<std::size_t>(matrix.cols)),
          columns(curvature.columns),
          values(sample.rows.size() * cols) {
        const double rows = std::accumulate(curvature.rows.begin(), curvature.rows.end(), 0.0);
        unit = rows > 0 && curvature.count > 0 ? 0.5 / static_cast<double>(curvature.count) / rows : 0;
        for (std::size_t i = 0; i < sample.rows.size(); ++i)
            model.read_rows_f32(matrix, sample.rows[i], 1, std::span(values).subspan(i * cols, cols));
    }

    /// @param stored  the rows, as long as whole blocks want them, quantised to `type`
    double damage(ggml_type type, std::span<const std::byte> stored) const {
        std::vector<float> back(padded_cols(type));
        const std::size_t row_bytes = stored.size() / sample.rows.size();
        double sum = 0;
        for (std::size_t row = 0; row < sample.rows.size(); ++row) {
            dequantize(type, stored.subspan(row * row_bytes), back);
            double of_row = 0;
            for (std::size_t col = 0; col < cols; ++col) {
                const double error = double{values[row * cols + col]} - double{back[col]};
                of_row += columns[col] * error * error;
            }
            sum += sample.factors[row] * of_row;
        }
        return unit * sum;
    }

    std::size_t padded_cols(ggml_type type) const {
        return static_cast<std::size_t>(whole_blocks(type, static_cast<std::int64_t>(cols)));
    }

    /// The rows with zeros to the end of the last block. @param scratch  where they are not the values themselves
    std::span<const float> padded(ggml_type type, std::vector<float>& scratch) const {
        const std::size_t width = padded_cols(type);
        if (width == cols) return values;
        scratch.assign(sample.rows.size() * width, 0.0f);
        for (std::size_t row = 0; row < sample.rows.size(); ++row)
            std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(row * cols), cols,
                        scratch.begin() + static_cast<std::ptrdiff_t>(row * width));
        return scratch;
    }

    RowSample sample;
    std::size_t cols;
    const std::vector<double>& columns;
    std::vector<float> values;  ///< [sampled rows][cols]
    double unit;                ///< nats per token of a weighed square
};

/// Of rows spread evenly over the sample: the share of error that is left differs little between rows.
/// @param rows    [n_rows][columns]
/// @param stored  the rows, quantised
FeedbackOutcome improve_some(const ErrorFeedback& with_feedback, std::span<const float> rows,
                             std::span<const std::byte> stored, std::size_t n_rows) {
    const std::size_t step = std::max<std::size_t>(1, n_rows / kRowsWithFeedback);
    const std::size_t width = rows.size() / n_rows, row_bytes = stored.size() / n_rows;
    std::vector<float> some;
    std::vector<std::byte> some_stored;
    for (std::size_t row = step / 2; row < n_rows; row += step) {
        std::ranges::copy(rows.subspan(row * width, width), std::back_inserter(some));
        std::ranges::copy(stored.subspan(row * row_bytes, row_bytes), std::back_inserter(some_stored));
    }
    return with_feedback.improve(some, some_stored);
}

/// One matrix, as compress would quantise it.
struct Candidate {
    const ModelTensor& matrix;
    std::vector<float> importance;
    InputFeedback& feedback;

    /// @param is_lookup  the rows are not multiplied with, but looked up
    double damage(const WeighedRows& rows, ggml_type type, bool is_lookup) const {
        if (type == matrix.type) return 0;  // compress keeps the stored blocks
        const std::size_t width = rows.padded_cols(type);
        std::vector<float> padded_importance = importance;
        if (!importance.empty()) padded_importance.resize(width, 0.0f);
        const BlockQuantizer quantizer(type, static_cast<std::int64_t>(width), padded_importance, matrix.name);
        std::vector<std::byte> stored(rows.sample.rows.size() * quantizer.row_bytes());
        std::vector<float> scratch;
        const std::span<const float> padded = rows.padded(type, scratch);
        quantizer.quantize(padded, 0, stored);
        const double plain = rows.damage(type, stored);
        const auto with_feedback = feedback.of(type, static_cast<std::int64_t>(width));
        if (!with_feedback) return plain;
        if (is_lookup) {
            with_feedback->improve(padded, stored);
            return rows.damage(type, stored);
        }
        const FeedbackOutcome outcome = improve_some(*with_feedback, padded, stored, rows.sample.rows.size());
        return outcome.error_before > 0 ? plain * feedback.expected_share(outcome) : plain;
    }
};

/// Questions by what the matrices read: they share what error feedback needs of it.
std::vector<std::vector<const DamageQuestion*>> by_input(const std::vector<DamageQuestion>& questions) {
    std::vector<std::vector<const DamageQuestion*>> groups;
    std::map<std::string, std::size_t> places;
    for (const DamageQuestion& question : questions) {
        const auto [place, is_new] = places.try_emplace(gram_owner(question.matrix->name), groups.size());
        if (is_new) groups.emplace_back();
        groups[place->second].push_back(&question);
    }
    return groups;
}

const GramInput* input_of(const ModelTensor& matrix, const GramSource& gram) {
    return gram.file == nullptr ? nullptr : gram.file->find(matrix);
}

/// Fewer where the factors of all would take too much memory.
int worker_count(const std::vector<DamageQuestion>& questions, const DamageOptions& options) {
    std::uint64_t largest = 0;
    for (const DamageQuestion& question : questions)
        if (const GramInput* input = input_of(*question.matrix, options.gram))
            largest = std::max(largest, InputFeedback::building_bytes(options.gram, *input));
    return factor_workers(largest, options.threads);
}

/// In every use of the matrix. @returns nats per token of each type
std::map<ggml_type, double> damages_of(const Model& model, const Statistics& statistics, const DamageQuestion& question,
                                       std::size_t n_rows, InputFeedback& feedback) {
    const Candidate candidate{*question.matrix, channel_importance(statistics, *question.matrix), feedback};
    std::map<ggml_type, double> damages;
    for (const std::string& use : uses_of(model, *question.matrix)) {
        const CurvatureStatistics* curvature = statistics.find_curvature(use);
        if (curvature == nullptr) throw Error(ErrorKind::kInternal, fmt::format("plan: no curvature of {}", use));
        const WeighedRows rows(model, *question.matrix, *curvature, n_rows);
        for (const ggml_type type : question.types) {
            throw_if_interrupted();
            damages[type] += candidate.damage(rows, type, use != question.matrix->name);
        }
    }
    return damages;
}

}  // namespace

double DamageTable::of(std::string_view matrix, ggml_type type) const {
    const auto found = damages_.find(matrix);
    const auto* damages = found != damages_.end() ? &found->second : nullptr;
    if (damages == nullptr || !damages->contains(type))
        throw Error(ErrorKind::kInternal,
                    fmt::format("plan: no damage was measured for {} as {}", matrix, ggml_type_name(type)));
    return damages->at(type);
}

bool DamageTable::knows(std::string_view matrix, ggml_type type) const {
    const auto found = damages_.find(matrix);
    return found != damages_.end() && found->second.contains(type);
}

std::vector<ggml_type> DamageTable::types_of(std::string_view matrix) const {
    std::vector<ggml_type> types;
    if (const auto found = damages_.find(matrix); found != damages_.end())
        for (const auto& [type, damage] : found->second) types.push_back(type);
    return types;
}

std::vector<std::string> DamageTable::matrices() const {
    std::vector<std::string> names;
    for (const auto& [name, damages] : damages_) names.push_back(name);
    return names;
}

void DamageTable::add(const DamageTable& other) {
    for (const auto& [name, damages] : other.damages_)
        for (const auto& [type, damage] : damages) set(name, type, damage);
}

std::vector<double> gate_damage(const CurvatureStatistics& curvature) {
    const auto count = static_cast<double>(std::max<std::int64_t>(curvature.count, 1));
    std::vector<double> damages;
    for (const double square : curvature.gates) damages.push_back(0.5 * square / count);
    return damages;
}

double sequence_count(const Statistics& statistics, const CurvatureStatistics& curvature) {
    return std::max(1.0, std::ceil(static_cast<double>(curvature.count) / statistics.chunk_size));
}

bool has_curvature(const Statistics& statistics, const Model& model, const ModelTensor& matrix) {
    for (const std::string& use : uses_of(model, matrix))
        if (statistics.find_curvature(use) == nullptr) return false;
    return true;
}

DamageTable measure_damage(const Model& model, const Statistics& statistics,
                           const std::vector<DamageQuestion>& questions, const DamageOptions& options,
                           Progress& progress) {
    DamageTable table;
    std::mutex mutex;
    progress.begin("measure damage", questions.size(), "matrices");
    const auto groups = by_input(questions);
    const int workers = worker_count(questions, options);
    const int threads_of_each = std::max(1, thread_count(options.threads) / workers);
    parallel_for(workers, groups.size(), [&](std::size_t index) {
        InputFeedback feedback(options.gram, input_of(*groups[index].front()->matrix, options.gram), threads_of_each);
        for (const DamageQuestion* question : groups[index]) {
            const auto damages = damages_of(model, statistics, *question, options.rows, feedback);
            const std::scoped_lock lock(mutex);
            for (const auto& [type, damage] : damages) table.set(question->matrix->name, type, damage);
            progress.advance(1, question->matrix->name);
        }
    });
    progress.end();
    return table;
}

}  // namespace plasticity
