#include "verify/weights_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "artifact/output_layout.h"
#include "io/dequantize.h"

namespace plasticity {
namespace {

constexpr std::int64_t kSampledRows = 4;

/// One row as the base has it, in the output's order.
std::vector<float> expected_row(const Model& base, const OutputTensor& tensor, std::int64_t row) {
    std::vector<float> expected(static_cast<std::size_t>(tensor.n_cols()), 0.0f);
    const std::int64_t source_row = tensor.rows.empty() ? row : tensor.rows[static_cast<std::size_t>(row)];
    if (source_row == kZeros) return expected;
    std::vector<float> source(static_cast<std::size_t>(tensor.source->cols));
    base.read_rows_f32(*tensor.source, source_row, 1, source);
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const std::int64_t col = tensor.cols.empty() ? static_cast<std::int64_t>(i) : tensor.cols[i];
        if (col != kZeros) expected[i] = tensor.scale * source[static_cast<std::size_t>(col)];
    }
    return expected;
}

/// As many values as a stored row has, padding of its own included.
std::vector<float> stored_row(const GgufReader& file, const GgufTensor& tensor, std::int64_t row) {
    std::vector<std::byte> bytes(ggml_row_size(tensor.type, tensor.row_length()));
    file.read(tensor, static_cast<std::uint64_t>(row) * bytes.size(), bytes);
    std::vector<float> values(static_cast<std::size_t>(tensor.row_length()));
    dequantize(tensor.type, bytes, values);
    return values;
}

/// Of sampled rows, all together; 1 where the base has only zeros there.
double cosine(const Subject& subject, const Model& base, const OutputTensor& tensor, const GgufTensor& stored) {
    double product = 0, expected_squares = 0, stored_squares = 0;
    const std::int64_t n_rows = tensor.n_rows(), n_sampled = std::min(kSampledRows, n_rows);
    for (std::int64_t sample = 0; sample < n_sampled; ++sample) {
        const std::int64_t row = (2 * sample + 1) * n_rows / (2 * n_sampled);
        const std::vector<float> expected = expected_row(base, tensor, row),
                                 got = stored_row(subject.file, stored, row);
        for (std::size_t i = 0; i < std::min(expected.size(), got.size()); ++i) {
            product += static_cast<double>(expected[i]) * got[i];
            expected_squares += static_cast<double>(expected[i]) * expected[i];
            stored_squares += static_cast<double>(got[i]) * got[i];
        }
    }
    if (expected_squares == 0) return 1;
    return stored_squares == 0 ? 0 : product / std::sqrt(expected_squares * stored_squares);
}

}  // namespace

Check check_weights(const Subject& subject, const Model& base, double least) {
    const OutputLayout layout = lay_out(base, *subject.recipe, {.with_tokenizer = false});
    std::vector<std::string> problems;
    double lowest = 1;
    std::string lowest_name = "none";
    for (const OutputTensor& tensor : layout.tensors) {
        const GgufTensor* stored = subject.file.find(tensor.spec.name);
        if (stored == nullptr) continue;
        const double similarity = cosine(subject, base, tensor, *stored);
        if (similarity < least)
            problems.push_back(fmt::format("{} is not what the base has there: cosine {:.3f}; expected at least {:.2f}",
                                           tensor.spec.name, similarity, least));
        if (similarity < lowest) {
            lowest = similarity;
            lowest_name = tensor.spec.name;
        }
    }
    subject.file.file().require_unchanged();
    return make_check("weights", problems,
                      fmt::format("rows of {} tensors are the base's; least cosine {:.4f}, of {}",
                                  layout.tensors.size(), lowest, lowest_name));
}

}  // namespace plasticity
