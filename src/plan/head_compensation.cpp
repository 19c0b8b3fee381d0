#include "plan/head_compensation.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "core/interrupt.h"
#include "core/parallel.h"
#include "plan/factor_workers.h"
#include "plan/row_sample.h"
#include "quant/removal_error.h"

namespace plasticity {
namespace {

/// Rows of every output projection that are read.
constexpr std::size_t kRows = 256;

/// The part of an output projection that reads some neighbouring channels of its input.
struct Columns {
    std::int64_t first = 0;
    std::int64_t n = 0;
    RowSample sample;
    std::vector<float> rows;  ///< [sample][n]
};

Columns read_columns(const Model& model, const ModelTensor& matrix, const RowSample& sample, std::int64_t first,
                     std::int64_t n) {
    Columns columns{.first = first, .n = n, .sample = sample, .rows = {}};
    std::vector<float> row(static_cast<std::size_t>(matrix.cols));
    for (const std::int64_t index : sample.rows) {
        model.read_rows_f32(matrix, index, 1, row);
        const auto begin = row.begin() + static_cast<std::ptrdiff_t>(first);
        columns.rows.insert(columns.rows.end(), begin, begin + static_cast<std::ptrdiff_t>(n));
    }
    return columns;
}

/// One block of a Gram matrix, and what counts of what it says.
class Shares {
public:
    Shares(GramBlock gram, double confidence, Columns columns)
        : error_(std::move(gram)), confidence_(confidence), columns_(std::move(columns)) {}

    /// @param first  channel of the whole input
    double of(std::int64_t first, std::int64_t n) const {
        throw_if_interrupted();
        const auto sums = error_.of(first - columns_.first, n, columns_.rows, columns_.sample.factors);
        return sums.cut > 0 ? 1 - confidence_ * (1 - sums.compensated / sums.cut) : 1;
    }

private:
    RemovalError error_;
    double confidence_;
    Columns columns_;
};

/// A block of whole KV groups; nothing where none takes little enough memory.
std::optional<std::int64_t> block_of_groups(const GramInput& input, std::int64_t group, std::uint64_t most_bytes) {
    const auto block = block_within(input.block, most_bytes, RemovalError::building_bytes);
    return block && *block % group == 0 ? block : std::nullopt;
}

/// The most memory that working on one block takes.
std::uint64_t largest_factor(const GramSource& gram) {
    std::uint64_t largest = 0;
    for (const GramInput& input : gram.file->header().inputs) {
        const std::optional<TensorId> matrix = parse_gguf_name(input.matrix);
        if (matrix && matrix->role == TensorRole::kAttentionOutput)
            largest = std::max(largest, RemovalError::building_bytes(input.block));
    }
    return std::min(largest, gram.most_bytes);
}

HeadCompensation compensation_of(const Model& model, const CurvatureStatistics& curvature, const ModelTensor& output,
                                 const GramSource& gram) {
    const Architecture& architecture = model.architecture();
    const LayerGeometry& geometry = architecture.layers[static_cast<std::size_t>(output.id.layer)];
    const std::int64_t head = architecture.head_dim, group = head * geometry.n_head / geometry.n_head_kv;
    const GramInput* input = gram.file->find(output);
    const auto block = input != nullptr ? block_of_groups(*input, group, gram.most_bytes) : std::nullopt;
    if (!block) return {};
    const auto tokens = static_cast<double>(gram.file->header().n_tokens);
    const double confidence = tokens / (tokens + static_cast<double>(*block));
    const RowSample sample = sample_rows(curvature.rows, kRows);
    HeadCompensation found;
    for (std::int64_t first = 0; first < input->width; first += *block) {
        const Shares shares(gram.file->read(*input, first, *block), confidence,
                            read_columns(model, output, sample, first, *block));
        for (std::int64_t at = first; at < first + *block; at += group) {
            found.groups.push_back(shares.of(at, group));
            for (std::int64_t one = at; one < at + group; one += head) found.heads.push_back(shares.of(one, head));
        }
    }
    return found;
}

}  // namespace

std::vector<HeadCompensation> head_compensation(const Model& model, const Statistics& statistics,
                                                const GramSource& gram, int threads, Progress& progress) {
    std::vector<HeadCompensation> found(static_cast<std::size_t>(model.architecture().n_layer()));
    std::mutex mutex;
    progress.begin("measure compensation", found.size(), "layers");
    parallel_for(factor_workers(largest_factor(gram), threads), found.size(), [&](std::size_t layer) {
        const ModelTensor* output = model.find({TensorRole::kAttentionOutput, static_cast<int>(layer)});
        const CurvatureStatistics* curvature = output != nullptr ? statistics.find_curvature(output->name) : nullptr;
        if (curvature != nullptr) found[layer] = compensation_of(model, *curvature, *output, gram);
        const std::scoped_lock lock(mutex);
        progress.advance(1);
    });
    progress.end();
    return found;
}

}  // namespace plasticity
