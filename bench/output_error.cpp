// What error feedback does to the outputs of matrices on text that it has not seen, beside own and ggml's rounding.
// Usage: output_error MODEL STATS.gguf GRAM.gguf OTHER-GRAM.gguf [ROWS]
// Statistics and the first Gram matrices are of the calibration text, the others of the text that is measured on. ROWS
// of each matrix (evenly spaced, 32) are quantised. Prints JSON: for each type the mean over matrices of e H eᵀ / w H
// wᵀ, and of what feedback leaves of the own quantiser's error, on the calibration text and on the other.
#include <fmt/format.h>
#include <ggml.h>

#include <Eigen/Core>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "artifact/gram.h"
#include "artifact/importance.h"
#include "artifact/statistics.h"
#include "bench_main.h"
#include "core/error.h"
#include "model/model.h"
#include "quant/block_quantizer.h"
#include "quant/error_feedback.h"

namespace plasticity {
namespace {

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct Request {
    std::unique_ptr<Model> model;
    Statistics statistics;
    GramFile calibration;
    GramFile other;
    std::int64_t n_rows;
};

/// A Gram matrix whole, block by block.
std::vector<Rows> squares_of(const GramFile& file, const GramInput& input) {
    std::vector<Rows> squares;
    for (std::int64_t first = 0; first < input.width; first += input.block) {
        const GramBlock block = file.read(input, first, input.block);
        squares.push_back(Rows::NullaryExpr(input.block, input.block,
                                            [&](Eigen::Index a, Eigen::Index b) { return block.at(a, b); }));
    }
    return squares;
}

/// What is known of one input in either text; matrices that read the same share it.
struct InputKnowledge {
    const GramInput* input = nullptr;
    std::shared_ptr<const FeedbackFactor> factor;
    std::vector<Rows> other;
};

/// Rows of one matrix, and what is known of its input.
struct Sample {
    const ModelTensor& tensor;
    const InputKnowledge& known;
    Rows rows;
    std::vector<float> importance;

    std::span<const float> values() const { return {rows.data(), static_cast<std::size_t>(rows.size())}; }
    /// Σ over rows of e H eᵀ on the other text.
    double energy(const Rows& errors) const {
        double sum = 0;
        Eigen::Index begin = 0;
        for (const Rows& gram : known.other) {
            const Rows part = errors.middleCols(begin, gram.cols());
            sum += double{((part * gram).array() * part.array()).sum()};
            begin += gram.cols();
        }
        return sum;
    }
    double relative_error(ggml_type type, std::span<const std::byte> bytes) const {
        Rows back(rows.rows(), rows.cols());
        ggml_get_type_traits(type)->to_float(bytes.data(), back.data(), back.size());
        return energy(rows - back) / energy(rows);
    }
};

bool is_measured(const Request& request, const ModelTensor& tensor) {
    return !tensor.is_vector && tensor.n_matrices == 1 && tensor.id.role != TensorRole::kTokenEmbedding &&
           tensor.id.role != TensorRole::kOutput && request.calibration.find(tensor.name) != nullptr &&
           request.other.find(tensor.name) != nullptr;
}

InputKnowledge know_input(const Request& request, const ModelTensor& tensor) {
    const GramInput* input = request.calibration.find(tensor.name);
    return {.input = input,
            .factor = std::make_shared<const FeedbackFactor>(request.calibration.blocks(*input, input->block),
                                                             std::span<const std::int64_t>{}),
            .other = squares_of(request.other, *request.other.find(tensor.name))};
}

Sample take_sample(const Request& request, const ModelTensor& tensor, const InputKnowledge& known) {
    Sample sample{.tensor = tensor,
                  .known = known,
                  .rows = Rows(std::min(request.n_rows, tensor.rows), tensor.cols),
                  .importance = channel_importance(request.statistics, tensor)};
    for (Eigen::Index i = 0; i < sample.rows.rows(); ++i)
        request.model->read_rows_f32(tensor, i * tensor.rows / sample.rows.rows(), 1,
                                     {sample.rows.row(i).data(), static_cast<std::size_t>(tensor.cols)});
    return sample;
}

struct Sums {
    double ggml = 0, own = 0, feedback = 0;
    double left_on_calibration = 0, left = 0;  ///< of the own quantiser's error
    int matrices = 0;
};

void measure(const Sample& sample, ggml_type type, Sums& sums) {
    if (sample.tensor.cols % ggml_blck_size(type) != 0) return;
    std::vector<std::byte> bytes(ggml_row_size(type, sample.rows.size()));
    ggml_quantize_chunk(type, sample.rows.data(), bytes.data(), 0, sample.rows.rows(), sample.rows.cols(),
                        sample.importance.data());
    sums.ggml += sample.relative_error(type, bytes);
    BlockQuantizer(type, sample.tensor.cols, sample.importance, sample.tensor.name).quantize(sample.values(), 0, bytes);
    const double own = sample.relative_error(type, bytes);
    const FeedbackOutcome outcome = ErrorFeedback(type, sample.known.factor).improve(sample.values(), bytes);
    const double feedback = sample.relative_error(type, bytes);
    sums.own += own;
    sums.feedback += feedback;
    sums.left_on_calibration += outcome.error_after / outcome.error_before;
    sums.left += feedback / own;
    ++sums.matrices;
}

std::vector<ggml_type> served_types() {
    std::vector<ggml_type> types;
    for (int type = 0; type < GGML_TYPE_COUNT; ++type)
        if (ErrorFeedback::serves(static_cast<ggml_type>(type))) types.push_back(static_cast<ggml_type>(type));
    return types;
}

void run(std::span<char*> arguments) {
    if (arguments.size() < 5)
        throw Error(ErrorKind::kUsage, "usage: output_error MODEL STATS.gguf GRAM.gguf OTHER-GRAM.gguf [ROWS]");
    const Request request{.model = open_model(arguments[1]),
                          .statistics = load_statistics(arguments[2]),
                          .calibration = GramFile(arguments[3]),
                          .other = GramFile(arguments[4]),
                          .n_rows = arguments.size() > 5 ? std::atoi(arguments[5]) : 32};
    std::map<ggml_type, Sums> sums;
    InputKnowledge known;  // those that share an input lie behind one another
    for (const ModelTensor& tensor : request.model->tensors()) {
        if (!is_measured(request, tensor)) continue;
        if (known.input != request.calibration.find(tensor.name)) known = know_input(request, tensor);
        const Sample sample = take_sample(request, tensor, known);
        for (const ggml_type type : served_types()) measure(sample, type, sums[type]);
    }
    nlohmann::ordered_json result;
    for (const auto& [type, sum] : sums)
        if (sum.matrices > 0)
            result[ggml_type_name(type)] = {{"matrices", sum.matrices},
                                            {"ggml", sum.ggml / sum.matrices},
                                            {"own", sum.own / sum.matrices},
                                            {"feedback", sum.feedback / sum.matrices},
                                            {"left_on_calibration", sum.left_on_calibration / sum.matrices},
                                            {"left", sum.left / sum.matrices}};
    fmt::print("{}\n", result.dump());
}

}  // namespace
}  // namespace plasticity

int main(int argc, char** argv) {
    return plasticity::bench_main(argc, argv, plasticity::run);
}
