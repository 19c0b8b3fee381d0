#include "model/tied_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <span>
#include <vector>

#include "core/interrupt.h"
#include "core/units.h"
#include "io/dequantize.h"
#include "model/model.h"
#include "model/token_type.h"

namespace plasticity {
namespace {

constexpr std::int64_t kSampledRows = 64;
constexpr double kLargestRatio = 2;     ///< of a copy's error to that of ggml's quantiser
constexpr double kLargestError = 0.15;  ///< of a row, relative
/// Squared, beside the mean row: rows of tokens that were never trained may be so small that scales lose them.
constexpr double kNegligible = 1e-6;
constexpr std::uint64_t kComparedTileBytes = std::uint64_t{4} << 20;

/// Of `n` places at most kSampledRows, evenly spaced.
template <typename RowAt>
void add_evenly(std::int64_t n, const RowAt& row_at, std::set<std::int64_t>& sample) {
    const std::int64_t taken = std::min(kSampledRows, n);
    for (std::int64_t i = 0; i < taken; ++i) sample.insert(row_at(i * n / taken));
}

std::set<std::int64_t> rows_to_look_at(const Model& model, std::int64_t n_rows) {
    std::vector<std::int64_t> added;
    if (const auto* types = model.tokenizer().array<std::int32_t>("tokenizer.ggml.token_type"))
        for (std::int64_t id = 0; id < std::min(n_rows, std::ssize(*types)); ++id) {
            const std::int32_t type = (*types)[static_cast<std::size_t>(id)];
            if (type == kTokenControl || type == kTokenUserDefined) added.push_back(id);
        }
    std::set<std::int64_t> sample;
    add_evenly(n_rows, [](std::int64_t row) { return row; }, sample);
    add_evenly(std::ssize(added), [&](std::int64_t i) { return added[static_cast<std::size_t>(i)]; }, sample);
    return sample;
}

/// Squares summed over one row.
struct RowErrors {
    double values = 0;     ///< of the finer row
    double copy = 0;       ///< of the coarser row's difference from it
    double reference = 0;  ///< of the difference that ggml's quantiser makes
};

double squared_distance(std::span<const float> a, std::span<const float> b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = double{a[i]} - double{b[i]};
        sum += difference * difference;
    }
    return sum;
}

/// Rows of both copies as F32, and the finer one's rounded to the coarser one's type.
class RowComparison {
public:
    RowComparison(const Model& model, const ModelTensor& finer, const ModelTensor& coarser)
        : model_(&model), finer_(&finer), coarser_(&coarser), rounded_bytes_(coarser.row_bytes()) {
        for (auto* row : {&kept_, &copy_, &rounded_}) row->resize(static_cast<std::size_t>(coarser.row_length()));
    }

    /// @returns nothing when a weight is not finite
    std::optional<RowErrors> errors_of(std::int64_t row) {
        const auto cols = static_cast<std::size_t>(finer_->cols);
        model_->read_rows_f32(*finer_, row, 1, std::span(kept_).first(cols));
        model_->read_rows_f32(*coarser_, row, 1, std::span(copy_).first(cols));
        const auto is_finite = [](float value) { return std::isfinite(value); };
        if (!std::ranges::all_of(kept_, is_finite) || !std::ranges::all_of(copy_, is_finite)) return std::nullopt;
        round();
        std::ranges::fill(std::span(rounded_).subspan(cols), 0.0f);
        return RowErrors{.values = squared_norm(kept_),
                         .copy = squared_distance(copy_, kept_),
                         .reference = squared_distance(rounded_, kept_)};
    }

private:
    static double squared_norm(std::span<const float> row) {
        double sum = 0;
        for (const float value : row) sum += double{value} * double{value};
        return sum;
    }

    void round() {
        const ggml_type type = coarser_->type;
        if (type == GGML_TYPE_F32) {
            rounded_ = kept_;
            return;
        }
        ggml_quantize_chunk(type, kept_.data(), rounded_bytes_.data(), 0, 1, coarser_->row_length(), nullptr);
        dequantize(type, rounded_bytes_, rounded_);
    }

    const Model* model_;
    const ModelTensor* finer_;
    const ModelTensor* coarser_;
    std::vector<float> kept_, copy_, rounded_;
    std::vector<std::byte> rounded_bytes_;
};

bool is_rounding(const RowErrors& row, double mean_values) {
    if (row.copy <= kNegligible * mean_values) return true;
    return row.copy <= kLargestRatio * kLargestRatio * row.reference &&
           row.copy <= kLargestError * kLargestError * row.values;
}

/// √(Σ squared error ÷ Σ squares) where the coarser matrix is a rounding of the finer one; nothing elsewhere.
std::optional<double> error_of_rounding(const Model& model, const ModelTensor& finer, const ModelTensor& coarser) {
    if (ggml_quantize_requires_imatrix(coarser.type)) return std::nullopt;  // of two bits: far beyond kLargestError
    RowComparison comparison(model, finer, coarser);
    std::vector<RowErrors> rows;
    RowErrors sum;
    for (const std::int64_t row : rows_to_look_at(model, finer.rows)) {
        const auto errors = comparison.errors_of(row);
        if (!errors) return std::nullopt;
        rows.push_back(*errors);
        sum.values += errors->values;
        sum.copy += errors->copy;
    }
    const double mean_values = sum.values / static_cast<double>(rows.size());
    const bool is_copy = sum.values > 0 &&
                         std::ranges::all_of(rows, [&](const RowErrors& row) { return is_rounding(row, mean_values); });
    if (!is_copy) return std::nullopt;
    return std::sqrt(sum.copy / sum.values);
}

/// Two matrices of one type and shape, read by the same rows.
class RowPair {
public:
    RowPair(const Model& model, const ModelTensor& a, const ModelTensor& b) : model_(&model), a_(&a), b_(&b) {}

    bool are_equal(std::int64_t row, std::int64_t n) {
        for (auto* rows : {&of_a_, &of_b_}) rows->resize(a_->row_bytes() * static_cast<std::uint64_t>(n));
        model_->read_rows(*a_, row, n, of_a_);
        model_->read_rows(*b_, row, n, of_b_);
        return of_a_ == of_b_;
    }
    bool are_zero() const {
        return std::ranges::all_of(of_a_, [](std::byte byte) { return byte == std::byte{0}; });
    }

private:
    const Model* model_;
    const ModelTensor* a_;
    const ModelTensor* b_;
    std::vector<std::byte> of_a_, of_b_;
};

/// Rows here and there tell most pairs apart; matrices that are zero there say nothing of each other.
bool are_same_bytes(const Model& model, const ModelTensor& a, const ModelTensor& b) {
    RowPair pair(model, a, b);
    bool holds_values = false;
    for (const std::int64_t row : rows_to_look_at(model, a.rows)) {
        if (!pair.are_equal(row, 1)) return false;
        holds_values = holds_values || !pair.are_zero();
    }
    if (!holds_values) return false;

    const auto tile_rows = static_cast<std::int64_t>(std::max<std::uint64_t>(1, kComparedTileBytes / a.row_bytes()));
    for (std::int64_t row = 0; row < a.rows; row += tile_rows) {
        throw_if_interrupted();
        if (!pair.are_equal(row, std::min(tile_rows, a.rows - row))) return false;
    }
    return true;
}

/// Bits of a block of as many weights in both types, to compare without rounding.
bool has_fewer_bits(ggml_type a, ggml_type b) {
    return ggml_type_size(a) * static_cast<std::size_t>(ggml_blck_size(b)) <
           ggml_type_size(b) * static_cast<std::size_t>(ggml_blck_size(a));
}

TiedCopy copy_of(const ModelTensor& tensor, double relative_error) {
    return {.name = tensor.name, .type = tensor.type, .bytes = tensor.bytes(), .relative_error = relative_error};
}

}  // namespace

std::optional<TiedCopy> find_tied_copy(const Model& model) {
    const ModelTensor* embedding = model.find({TensorRole::kTokenEmbedding});
    const ModelTensor* output = model.find({TensorRole::kOutput});
    if (embedding == nullptr || output == nullptr) return std::nullopt;
    if (embedding->type == output->type)
        return are_same_bytes(model, *embedding, *output) ? std::optional(copy_of(*output, 0)) : std::nullopt;

    const bool keeps_embedding = has_fewer_bits(output->type, embedding->type);
    const ModelTensor& kept = keeps_embedding ? *embedding : *output;
    const ModelTensor& other = keeps_embedding ? *output : *embedding;
    const auto error = error_of_rounding(model, kept, other);
    return error ? std::optional(copy_of(other, *error)) : std::nullopt;
}

std::string describe(const TiedCopy& copy) {
    const std::string_view kept = copy.name == "output.weight" ? "token_embd.weight" : "output.weight";
    const std::string how = !copy.relative_error       ? "ignored, since the model ties them"
                            : *copy.relative_error > 0 ? fmt::format("{:.1f} % off", 100 * *copy.relative_error)
                                                       : "to the bit";
    return fmt::format("{} ({}) is a copy of {} ({}): stored once, {} less", copy.name, ggml_type_name(copy.type), kept,
                       how, format_bytes(copy.bytes));
}

}  // namespace plasticity
