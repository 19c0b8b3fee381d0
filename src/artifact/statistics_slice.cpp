#include "artifact/statistics_slice.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "artifact/f64_row.h"

namespace plasticity {
namespace {

constexpr std::string_view kExactSums = ".in_sum2_f64";
constexpr std::string_view kExactCount = ".counts_f64";
constexpr std::string_view kIndexKey = "score.slice.index";
constexpr std::string_view kCountKey = "score.slice.count";
constexpr std::string_view kExamplesKey = "score.slice.examples";
constexpr double kMostCounted = 9007199254740992.0;  // 2⁵³: whole numbers beyond it are not told apart

struct TextKey {
    std::string_view key;
    std::string ScoreProvenance::* value;
};
constexpr std::array kTexts{TextKey{"score.model_sha256", &ScoreProvenance::model_sha256},
                            TextKey{"score.tokenizer_sha256", &ScoreProvenance::tokenizer_sha256},
                            TextKey{"score.data_sha256", &ScoreProvenance::data_sha256},
                            TextKey{"score.precision", &ScoreProvenance::precision},
                            TextKey{"score.program_version", &ScoreProvenance::program_version},
                            TextKey{"score.adapter_sha256", &ScoreProvenance::adapter_sha256}};

/// What the F32 beside it holds, to more digits; otherwise one of them was changed.
bool rounds_to(double exact, double rounded) {
    constexpr double kEpsilon = std::numeric_limits<float>::epsilon(), kLeast = std::numeric_limits<float>::min();
    return std::abs(exact - rounded) <= std::abs(rounded) * kEpsilon + kLeast;
}

void read_origin(const GgufMetadata& metadata, Statistics& statistics, ProblemList& problems) {
    const std::int64_t count = metadata.integer_or(kCountKey, 0);
    if (count == 0) return;
    StatisticsOrigin origin;
    const std::int64_t index = metadata.integer_or(kIndexKey, 0), n_examples = metadata.integer_or(kExamplesKey, 0);
    const std::int64_t every = metadata.integer_or("score.curvature_every", -1);
    if (count < 1 || count > kMaxSlices || index < 1 || index > count || n_examples < count || every < 0 ||
        every > std::numeric_limits<std::int32_t>::max()) {
        problems.add(fmt::format("{} {}, {} {}, {} {}, score.curvature_every {}; expected a slice of a run", kIndexKey,
                                 index, kCountKey, count, kExamplesKey, n_examples, every));
        return;
    }
    origin.slice = {
        .index = static_cast<std::int32_t>(index), .count = static_cast<std::int32_t>(count), .n_examples = n_examples};
    for (const TextKey& text : kTexts) origin.provenance.*text.value = metadata.text_or(text.key, "");
    origin.provenance.chunk = statistics.chunk_size;
    origin.curvature_every = static_cast<std::int32_t>(every);
    origin.seed = static_cast<std::uint64_t>(metadata.integer_or("score.seed", 0));
    statistics.origin = std::move(origin);
}

void read_tensor(const GgufReader& file, const GgufTensor& tensor, Statistics& statistics, ProblemList& problems) {
    const bool is_sums = tensor.name.ends_with(kExactSums);
    const std::string name = tensor.name.substr(0, tensor.name.size() - (is_sums ? kExactSums : kExactCount).size());
    const auto entry = statistics.matrices.find(name);
    const std::size_t expected =
        entry == statistics.matrices.end() ? 0 : (is_sums ? entry->second.sum_of_squares.size() : 1);
    if (tensor.type != GGML_TYPE_F64 || tensor.n_rows() != 1 || expected == 0 ||
        std::cmp_not_equal(tensor.row_length(), expected)) {
        problems.add(fmt::format("{}: {} rows of {} {}; expected {} f64", tensor.name, tensor.n_rows(),
                                 tensor.row_length(), ggml_type_name(tensor.type), expected));
        return;
    }
    std::vector<double> values(expected);
    file.read(tensor, 0, std::as_writable_bytes(std::span(values)));
    ChannelStatistics& channels = entry->second;
    if (!is_sums) {
        if (!(values[0] >= 0 && values[0] <= kMostCounted && values[0] == std::floor(values[0])) ||
            !rounds_to(values[0], static_cast<double>(channels.count)))
            problems.add(fmt::format("{}: {}; the count beside it is {}", tensor.name, values[0], channels.count));
        else
            channels.count = static_cast<std::int64_t>(values[0]);
        return;
    }
    for (std::size_t i = 0; i < expected; ++i)
        if (!rounds_to(values[i], channels.sum_of_squares[i])) {
            problems.add(fmt::format("{}: channel {} is {}; the f32 beside it is {}", tensor.name, i, values[i],
                                     channels.sum_of_squares[i]));
            return;
        }
    channels.sum_of_squares = std::move(values);
}

}  // namespace

void add_slice(const Statistics& statistics, GgufLayout& layout) {
    if (!statistics.origin) return;
    const StatisticsOrigin& origin = *statistics.origin;
    layout.metadata.set(std::string(kIndexKey), static_cast<std::uint32_t>(origin.slice.index));
    layout.metadata.set(std::string(kCountKey), static_cast<std::uint32_t>(origin.slice.count));
    layout.metadata.set(std::string(kExamplesKey), static_cast<std::uint64_t>(origin.slice.n_examples));
    for (const TextKey& text : kTexts) layout.metadata.set(std::string(text.key), origin.provenance.*text.value);
    layout.metadata.set("score.curvature_every", static_cast<std::uint32_t>(origin.curvature_every));
    layout.metadata.set("score.seed", origin.seed);
    for (const auto& [name, channels] : statistics.matrices) {
        layout.tensors.push_back(f64_row(name + std::string(kExactSums), channels.sum_of_squares.size()));
        layout.tensors.push_back(f64_row(name + std::string(kExactCount), 1));
    }
}

void write_slice(const Statistics& statistics, GgufWriter& file) {
    if (!statistics.origin) return;
    for (const auto& [name, channels] : statistics.matrices) {
        const auto count = static_cast<double>(channels.count);
        file.write(name + std::string(kExactSums), std::as_bytes(std::span(channels.sum_of_squares)));
        file.write(name + std::string(kExactCount), std::as_bytes(std::span(&count, 1)));
    }
}

bool is_slice_tensor(std::string_view name) {
    return name.ends_with(kExactSums) || name.ends_with(kExactCount);
}

void read_slice(const GgufReader& file, Statistics& statistics, ProblemList& problems) {
    read_origin(file.metadata(), statistics, problems);
    for (const GgufTensor& tensor : file.tensors())
        if (is_slice_tensor(tensor.name)) read_tensor(file, tensor, statistics, problems);
}

}  // namespace plasticity
