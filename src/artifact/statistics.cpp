#include "artifact/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "artifact/curvature_tensors.h"
#include "artifact/statistics_slice.h"
#include "core/error.h"
#include "io/gguf_reader.h"
#include "io/gguf_writer.h"
#include "io/problem_list.h"
#include "model/tensor_names.h"

namespace plasticity {
namespace {

constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";

std::string without_suffix(const std::string& name, std::string_view suffix) {
    return name.substr(0, name.size() - suffix.size());
}

GgufTensorSpec vector_spec(std::string name, std::size_t length) {
    GgufTensorSpec spec;
    spec.name = std::move(name);
    spec.n_dims = 2;  // llama.cpp's form: [length, number of experts]
    spec.dims = {static_cast<std::int64_t>(length), 1, 1, 1};
    return spec;
}

void require_sound(const ChannelStatistics& channels, std::string_view name, ProblemList& problems) {
    if (channels.count < 0) problems.add(fmt::format("{}: a count of {}", name, channels.count));
    if (channels.sum_of_squares.empty()) problems.add(fmt::format("{}: no channels", name));
    const auto bad = std::find_if(channels.sum_of_squares.begin(), channels.sum_of_squares.end(), [](double sum) {
        return !(sum >= 0 && sum <= double{std::numeric_limits<float>::max()});
    });
    if (bad != channels.sum_of_squares.end())
        problems.add(fmt::format("{}: channel {} is {}; expected a finite sum of squares", name,
                                 bad - channels.sum_of_squares.begin(), *bad));
}

GgufLayout layout_of(const Statistics& statistics) {
    GgufLayout layout;
    layout.metadata.set("general.type", std::string("imatrix"));
    layout.metadata.set("imatrix.datasets", GgufArray(statistics.datasets));
    layout.metadata.set("imatrix.chunk_count", static_cast<std::uint32_t>(statistics.chunk_count));
    layout.metadata.set("imatrix.chunk_size", static_cast<std::uint32_t>(statistics.chunk_size));
    for (const auto& [name, channels] : statistics.matrices) {
        layout.tensors.push_back(vector_spec(name + std::string(kSums), channels.sum_of_squares.size()));
        layout.tensors.push_back(vector_spec(name + std::string(kCounts), 1));
    }
    add_curvature_tensors(statistics, layout);
    add_slice(statistics, layout);
    return layout;
}

/// nullopt where the tensor cannot be statistics; the problem is then noted.
std::vector<float> read_floats(const GgufReader& file, const GgufTensor& tensor, ProblemList& problems) {
    if (tensor.type != GGML_TYPE_F32 || tensor.n_rows() != 1 || tensor.bytes > kMaxStatisticsBytes) {
        problems.add(fmt::format("{}: {} rows of {} {}; expected one row of f32 (mixtures of experts are not read)",
                                 tensor.name, tensor.n_rows(), tensor.row_length(), ggml_type_name(tensor.type)));
        return {};
    }
    std::vector<float> values(static_cast<std::size_t>(tensor.row_length()));
    file.read(tensor, 0, std::as_writable_bytes(std::span(values)));
    return values;
}

std::int64_t read_count(const GgufReader& file, const GgufTensor& tensor, ProblemList& problems) {
    const std::vector<float> values = read_floats(file, tensor, problems);
    if (values.empty()) return 0;
    const double count = values.front();
    if (values.size() != 1 || !(count >= 0 && count < 9e18) || count != std::floor(count)) {
        problems.add(
            fmt::format("{}: {} values, the first {}; expected one whole number", tensor.name, values.size(), count));
        return 0;
    }
    return static_cast<std::int64_t>(count);
}

std::int64_t bounded(const GgufMetadata& metadata, std::string_view key, std::int64_t fallback, ProblemList& problems) {
    const std::int64_t value = metadata.integer_or(key, fallback);
    if (value < 0 || value > std::numeric_limits<std::int32_t>::max())
        problems.add(fmt::format("{} is {}; expected a count", key, value));
    return value;
}

template <typename Entries>
void move_output_to_embedding(Entries& entries) {
    const std::string embedding = gguf_name({TensorRole::kTokenEmbedding});
    if (entries.contains(embedding)) return;
    if (auto entry = entries.extract(gguf_name({TensorRole::kOutput}))) {
        entry.key() = embedding;
        entries.insert(std::move(entry));
    }
}

}  // namespace

std::string lookup_key(std::string_view embedding_name) {
    return std::string(embedding_name) + ".lookup";
}

const CurvatureStatistics* Statistics::find_curvature(std::string_view name) const {
    const auto found = curvature.find(std::string(name));
    return found == curvature.end() ? nullptr : &found->second;
}

const ChannelStatistics* Statistics::find(std::string_view name) const {
    const auto found = matrices.find(std::string(name));
    return found == matrices.end() ? nullptr : &found->second;
}

void save_statistics(const Statistics& statistics, const std::filesystem::path& target, Overwrite overwrite) {
    ProblemList problems("statistics to be saved to " + target.string());
    if (statistics.matrices.empty()) problems.add("no matrices");
    if (statistics.chunk_size < 1 || statistics.chunk_count < 0 ||
        statistics.chunk_count > std::numeric_limits<std::int32_t>::max())
        problems.add(fmt::format("{} chunks of {}", statistics.chunk_count, statistics.chunk_size));
    for (const auto& [name, channels] : statistics.matrices) require_sound(channels, name, problems);
    check_curvature(statistics, problems);
    problems.throw_if_any();

    GgufWriter file(target, layout_of(statistics), overwrite);
    for (const auto& [name, channels] : statistics.matrices) {
        const std::vector<float> sums(channels.sum_of_squares.begin(), channels.sum_of_squares.end());
        const auto count = static_cast<float>(channels.count);
        file.write(name + std::string(kSums), std::as_bytes(std::span(sums)));
        file.write(name + std::string(kCounts), std::as_bytes(std::span(&count, 1)));
    }
    write_curvature(statistics, file);
    write_slice(statistics, file);
    file.finish();
}

Statistics load_statistics(const std::filesystem::path& path) {
    const GgufReader file(path);
    ProblemList problems(path.string());
    const std::string type = file.metadata().text_or("general.type", "");
    if (type != "imatrix") problems.add(fmt::format("general.type is \"{}\"; expected \"imatrix\"", type));
    problems.throw_if_any();

    Statistics statistics;
    statistics.chunk_count = bounded(file.metadata(), "imatrix.chunk_count", 0, problems);
    statistics.chunk_size = static_cast<std::int32_t>(bounded(file.metadata(), "imatrix.chunk_size", 512, problems));
    if (const auto* datasets = file.metadata().array<std::string>("imatrix.datasets")) statistics.datasets = *datasets;
    for (const GgufTensor& tensor : file.tensors()) {
        if (read_curvature_tensor(file, tensor, statistics, problems)) continue;
        if (tensor.name.ends_with(kCounts)) {
            if (!file.find(without_suffix(tensor.name, kCounts) + std::string(kSums)))
                problems.add(fmt::format("{} has no sums beside it", tensor.name));
            continue;
        }
        if (is_slice_tensor(tensor.name)) continue;
        if (!tensor.name.ends_with(kSums)) {
            problems.add(fmt::format("unknown tensor {}", tensor.name));
            continue;
        }
        const std::string name = without_suffix(tensor.name, kSums);
        const GgufTensor* counts = file.find(name + std::string(kCounts));
        if (!counts) {
            problems.add(fmt::format("{} has no counts beside it", tensor.name));
            continue;
        }
        const std::vector<float> sums = read_floats(file, tensor, problems);
        ChannelStatistics& channels = statistics.matrices[name];
        channels.sum_of_squares.assign(sums.begin(), sums.end());
        channels.count = read_count(file, *counts, problems);
        require_sound(channels, name, problems);
    }
    read_slice(file, statistics, problems);
    if (statistics.matrices.empty()) problems.add("no matrices");
    check_curvature(statistics, problems);
    problems.throw_if_any();
    file.file().require_unchanged();
    return statistics;
}

Statistics load_statistics(const std::filesystem::path& path, const Architecture& architecture) {
    Statistics statistics = load_statistics(path);
    if (architecture.tied_embeddings) {
        move_output_to_embedding(statistics.matrices);
        move_output_to_embedding(statistics.curvature);
    }
    return statistics;
}

}  // namespace plasticity
