// Own block quantisers against ggml's on the matrices of a model: weighted squared error and time on one thread.
// Usage: quantizers MODEL STATS.gguf [ROWS [INSTRUCTIONS [TYPE...]]]
// ROWS of each matrix (evenly spaced, 24) are quantised; INSTRUCTIONS: best, avx3, avx2, sse4 or baseline.
#include <fmt/format.h>
#include <ggml.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "artifact/statistics.h"
#include "bench_main.h"
#include "core/error.h"
#include "model/model.h"
#include "quant/block_quantizer.h"

namespace plasticity {
namespace {

constexpr std::int64_t kWidestBlock = 256;

/// Rows of one matrix and how much their channels matter. Columns beyond the last whole block of 256 are left out.
struct Sample {
    std::string name;
    std::int64_t cols = 0;
    std::vector<float> rows;
    std::vector<float> importance;  ///< [cols]
};

/// Sums over matrices, each error relative to the matrix's own weighted norm.
struct Comparison {
    double own_error = 0, ggml_error = 0, worst_ratio = 0;
    double own_seconds = 0, ggml_seconds = 0;
};

double thread_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Sample take_sample(const Model& model, const ModelTensor& tensor, const ChannelStatistics& statistics,
                   std::int64_t n_rows) {
    Sample sample{tensor.name, tensor.cols / kWidestBlock * kWidestBlock, {}, {}};
    std::vector<float> row(static_cast<std::size_t>(tensor.cols));
    n_rows = std::min(n_rows, tensor.rows);
    for (std::int64_t i = 0; i < n_rows; ++i) {
        model.read_rows_f32(tensor, i * tensor.rows / n_rows, 1, row);
        sample.rows.insert(sample.rows.end(), row.begin(), row.begin() + sample.cols);
    }
    for (std::int64_t channel = 0; channel < sample.cols; ++channel)
        sample.importance.push_back(static_cast<float>(statistics.sum_of_squares[static_cast<std::size_t>(channel)] /
                                                       static_cast<double>(statistics.count)));
    return sample;
}

std::vector<Sample> take_samples(const Model& model, const Statistics& statistics, std::int64_t n_rows) {
    std::vector<Sample> samples;
    for (const ModelTensor& tensor : model.tensors()) {
        const ChannelStatistics* known = statistics.find(tensor.name);
        if (tensor.is_vector || known == nullptr || known->count <= 0) continue;
        samples.push_back(take_sample(model, tensor, *known, n_rows));
    }
    return samples;
}

double weighted_error(const Sample& sample, ggml_type type, std::span<const std::byte> bytes,
                      std::span<const float> importance) {
    std::vector<float> values(sample.rows.size());
    ggml_get_type_traits(type)->to_float(bytes.data(), values.data(), static_cast<std::int64_t>(values.size()));
    double error = 0, norm = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double weight = importance.empty() ? 1.0 : importance[i % importance.size()];
        const double x = sample.rows[i], difference = x - values[i];
        error += weight * difference * difference;
        norm += weight * x * x;
    }
    return error / norm;
}

/// What BlockQuantizer gives ggml: channels that were never excited keep a little weight.
std::vector<float> floored(std::vector<float> importance) {
    double sum = 0;
    for (const float weight : importance) sum += weight;
    const auto least = static_cast<float>(1e-6 * sum / static_cast<double>(importance.size()));
    for (float& weight : importance) weight = std::max(weight, least);
    return importance;
}

void compare(const Sample& sample, ggml_type type, bool weighted, Comparison& sums) {
    const std::vector<float> importance = weighted ? floored(sample.importance) : std::vector<float>{};
    const BlockQuantizer quantizer(type, sample.cols, importance, sample.name);
    std::vector<std::byte> own(ggml_row_size(type, static_cast<std::int64_t>(sample.rows.size()))), theirs(own.size());
    const double start = thread_seconds();
    quantizer.quantize(sample.rows, 0, own);
    const double middle = thread_seconds();
    ggml_quantize_chunk(type, sample.rows.data(), theirs.data(), 0,
                        static_cast<std::int64_t>(sample.rows.size()) / sample.cols, sample.cols,
                        weighted ? importance.data() : nullptr);
    const double end = thread_seconds();
    sums.own_seconds += middle - start;
    sums.ggml_seconds += end - middle;
    const double own_error = weighted_error(sample, type, own, importance);
    const double ggml_error = weighted_error(sample, type, theirs, importance);
    sums.own_error += own_error;
    sums.ggml_error += ggml_error;
    sums.worst_ratio = std::max(sums.worst_ratio, own_error / ggml_error);
}

void restrict_instructions(const std::string& name) {
    const std::map<std::string, std::int64_t> known{
        {"avx3", HWY_AVX3}, {"avx2", HWY_AVX2}, {"sse4", HWY_SSE4}, {"baseline", HWY_STATIC_TARGET}};
    const auto found = known.find(name);
    if (name != "best" && found == known.end())
        throw Error(ErrorKind::kUsage, fmt::format("quantizers: instructions {}; expected best, avx3, avx2, sse4 or "
                                                   "baseline",
                                                   name));
    if (found != known.end()) hwy::SetSupportedTargetsForTest(found->second);
}

void print_row(ggml_type type, const std::vector<Sample>& samples, bool weighted) {
    Comparison sums;
    double weights = 0;
    for (const Sample& sample : samples) {
        compare(sample, type, weighted, sums);
        weights += static_cast<double>(sample.rows.size());
    }
    const auto n = static_cast<double>(samples.size());
    fmt::print("| {} | {} | {} | {:.4g} | {:.4g} | {:.4f} | {:.4f} | {:.2f} | {:.2f} | {:.2f} |\n",
               ggml_type_name(type), own_quantizer(type) ? "own" : "ggml's", weighted ? "yes" : "no",
               sums.own_error / n, sums.ggml_error / n, sums.own_error / sums.ggml_error, sums.worst_ratio,
               1e9 * sums.own_seconds / weights, 1e9 * sums.ggml_seconds / weights,
               sums.ggml_seconds / sums.own_seconds);
    std::fflush(stdout);
}

std::vector<ggml_type> all_types() {
    return {GGML_TYPE_Q8_0, GGML_TYPE_Q6_K,  GGML_TYPE_Q5_1,    GGML_TYPE_Q5_0,   GGML_TYPE_Q5_K,
            GGML_TYPE_Q4_1, GGML_TYPE_Q4_0,  GGML_TYPE_Q4_K,    GGML_TYPE_IQ4_NL, GGML_TYPE_IQ4_XS,
            GGML_TYPE_Q3_K, GGML_TYPE_IQ3_S, GGML_TYPE_IQ3_XXS, GGML_TYPE_Q2_K,   GGML_TYPE_IQ2_S};
}

void run(std::span<char*> arguments) {
    if (arguments.size() < 3)
        throw Error(ErrorKind::kUsage,
                    "usage: quantizers MODEL STATS.gguf [ROWS [INSTRUCTIONS "
                    "[TYPE...]]]");
    const auto model = open_model(arguments[1]);
    const Statistics statistics = load_statistics(arguments[2]);
    const auto samples = take_samples(*model, statistics, arguments.size() > 3 ? std::atoi(arguments[3]) : 24);
    restrict_instructions(arguments.size() > 4 ? arguments[4] : "best");
    fmt::print(
        "| type | quantiser | importance | own error | ggml's error | own / ggml's | worst matrix | own ns | "
        "ggml's ns | times faster |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for (const ggml_type type : all_types()) {
        const auto wanted = arguments.subspan(std::min<std::size_t>(5, arguments.size()));
        if (!wanted.empty() && std::ranges::find(wanted, std::string_view(ggml_type_name(type))) == wanted.end())
            continue;
        ggml_quantize_init(type);
        for (const bool weighted : {true, false}) print_row(type, samples, weighted);
    }
}

}  // namespace
}  // namespace plasticity

int main(int argc, char** argv) {
    return plasticity::bench_main(argc, argv, plasticity::run);
}
