#include "artifact/gram.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "io/problem_list.h"
#include "model/tensor_names.h"

namespace plasticity {
namespace {

constexpr std::string_view kSuffix = ".gram";
constexpr std::string_view kType = "gram";
constexpr std::int64_t kMaxBlocks = 16;
/// Whole numbers beyond it are of no data set.
constexpr std::int64_t kMostTokens = std::int64_t{1} << 53;

/// The block of a packed triangle of so many values; nothing where no block up to the limit has them.
std::optional<std::int64_t> block_of(std::int64_t packed) {
    if (packed < 1 || packed > triangle_length(kMaxGramBlock)) return std::nullopt;
    const auto block = std::llround((std::sqrt(8.0 * static_cast<double>(packed) + 1) - 1) / 2);
    if (triangle_length(block) != packed) return std::nullopt;
    return block;
}

GgufLayout layout_of(const GramHeader& header) {
    GgufLayout layout;
    layout.metadata.set("general.type", std::string(kType));
    layout.metadata.set("gram.weighting", header.weighting);
    layout.metadata.set("gram.tokens", static_cast<std::uint64_t>(header.n_tokens));
    layout.metadata.set("gram.datasets", GgufArray(header.datasets));
    layout.metadata.set("gram.model_sha256", header.model_sha256);
    for (const GramInput& input : header.inputs)
        layout.tensors.push_back({.name = input.matrix + std::string(kSuffix),
                                  .type = GGML_TYPE_F32,
                                  .n_dims = 2,
                                  .dims = {triangle_length(input.block), input.n_blocks(), 1, 1}});
    return layout;
}

/// Where the packed triangles of `input` hold what no sum of w · x xᵀ can; empty where they are sound.
std::string first_unsound(const GramInput& input, std::span<const float> packed) {
    std::size_t at = 0;
    for (std::int64_t block = 0; block < input.n_blocks(); ++block)
        for (std::int64_t row = 0; row < input.block; ++row)
            for (std::int64_t col = 0; col <= row; ++col, ++at) {
                const float value = packed[at];
                if (std::isfinite(value) && (col < row || value >= 0)) continue;
                const std::int64_t first = block * input.block;
                return fmt::format("{}{} at ({}, {}) is {}; expected {}", input.matrix, kSuffix, first + row,
                                   first + col, value, col < row ? "a finite number" : "a finite sum of squares");
            }
    return {};
}

void require_sound(const std::string& where, const GramInput& input, std::span<const float> packed) {
    const std::string problem = first_unsound(input, packed);
    if (!problem.empty()) throw Error(ErrorKind::kMalformed, where + ": " + problem);
}

GramBlocks unpack(const GramInput& input, std::span<const float> packed) {
    const auto n = static_cast<std::size_t>(input.block), n_blocks = static_cast<std::size_t>(input.n_blocks());
    GramBlocks blocks{.width = input.width, .block = input.block, .values = std::vector<float>(n_blocks * n * n)};
    std::size_t at = 0;
    for (std::size_t block = 0; block < n_blocks; ++block) {
        float* square = blocks.values.data() + block * n * n;
        for (std::size_t row = 0; row < n; ++row)
            for (std::size_t col = 0; col <= row; ++col, ++at)
                square[row * n + col] = square[col * n + row] = packed[at];
    }
    return blocks;
}

/// nullopt where the tensor is no Gram matrix; the problem is then noted.
std::optional<GramInput> input_of(const GgufTensor& tensor, ProblemList& problems) {
    if (!tensor.name.ends_with(kSuffix)) {
        problems.add(fmt::format("unknown tensor {}", tensor.name));
        return std::nullopt;
    }
    const std::string matrix = tensor.name.substr(0, tensor.name.size() - kSuffix.size());
    const auto id = parse_gguf_name(matrix);
    if (!id || id->is_bias || !is_matrix(*id) || gram_owner(matrix) != matrix)
        problems.add(fmt::format("{}; expected the name of the first matrix that reads an input", tensor.name));
    const auto block = block_of(tensor.row_length());
    if (tensor.type != GGML_TYPE_F32 || !block || tensor.n_rows() > kMaxBlocks) {
        problems.add(fmt::format(
            "{}: {} rows of {} {}; expected up to {} triangles of f32, n · (n + 1) / 2 values with n up to {}",
            tensor.name, tensor.n_rows(), tensor.row_length(), ggml_type_name(tensor.type), kMaxBlocks, kMaxGramBlock));
        return std::nullopt;
    }
    return GramInput{.matrix = matrix, .width = *block * tensor.n_rows(), .block = *block};
}

GramHeader read_header(const GgufReader& file) {
    ProblemList problems(file.file().path().string());
    const std::string type = file.metadata().text_or("general.type", "");
    if (type != kType) problems.add(fmt::format("general.type is \"{}\"; expected \"{}\"", type, kType));
    problems.throw_if_any();

    GramHeader header;
    header.weighting = file.metadata().text_or("gram.weighting", "");
    if (header.weighting != "gradient" && header.weighting != "none")
        problems.add(fmt::format("gram.weighting is \"{}\"; expected \"gradient\" or \"none\"", header.weighting));
    header.n_tokens = file.metadata().integer_or("gram.tokens", 0);
    if (header.n_tokens < 1 || header.n_tokens > kMostTokens)
        problems.add(fmt::format("gram.tokens is {}; expected a count of at least 1", header.n_tokens));
    header.model_sha256 = file.metadata().text_or("gram.model_sha256", "");
    if (const auto* datasets = file.metadata().array<std::string>("gram.datasets")) header.datasets = *datasets;
    for (const GgufTensor& tensor : file.tensors())
        if (auto input = input_of(tensor, problems)) header.inputs.push_back(std::move(*input));
    if (file.tensors().empty()) problems.add("no Gram matrices");
    problems.throw_if_any();
    return header;
}

}  // namespace

std::optional<std::int64_t> gram_block(std::int64_t width, std::int64_t max_block) {
    for (std::int64_t n = 1; n <= kMaxBlocks; ++n)
        if (width % n == 0 && width / n <= max_block) return width / n;
    return std::nullopt;
}

std::string gram_owner(std::string_view matrix_name) {
    std::optional<TensorId> id = parse_gguf_name(matrix_name);
    if (!id) return std::string(matrix_name);
    if (id->role == TensorRole::kKey || id->role == TensorRole::kValue) id->role = TensorRole::kQuery;
    if (id->role == TensorRole::kUp) id->role = TensorRole::kGate;
    return gguf_name(*id);
}

GramFile::GramFile(const std::filesystem::path& path) : file_(path), header_(read_header(file_)) {}

const GramInput* GramFile::find(std::string_view matrix_name) const {
    const auto found = std::ranges::find(header_.inputs, gram_owner(matrix_name), &GramInput::matrix);
    return found == header_.inputs.end() ? nullptr : &*found;
}

GramBlocks GramFile::read(std::string_view matrix_name) const {
    const GramInput* input = find(matrix_name);
    if (input == nullptr)
        throw Error(ErrorKind::kInternal,
                    fmt::format("{}: no Gram matrix of {}", file_.file().path().string(), matrix_name));
    std::vector<float> packed(static_cast<std::size_t>(input->packed_length()));
    file_.read(*file_.find(input->matrix + std::string(kSuffix)), 0, std::as_writable_bytes(std::span(packed)));
    require_sound(file_.file().path().string(), *input, packed);
    return unpack(*input, packed);
}

GramWriter::GramWriter(const std::filesystem::path& target, const GramHeader& header, Overwrite overwrite)
    : file_(target, layout_of(header), overwrite) {}

void GramWriter::write(const GramInput& input, std::span<const float> packed) {
    require_sound("Gram matrices to be saved", input, packed);
    file_.write(input.matrix + std::string(kSuffix), std::as_bytes(packed));
}

std::uint64_t gram_file_bytes(const GramHeader& header) {
    return layout_of(header).file_bytes();
}

}  // namespace plasticity
