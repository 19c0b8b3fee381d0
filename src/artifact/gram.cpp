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
/// Channels of fewer neighbours than a super-block has weights are as good as independent.
constexpr std::int64_t kLeastBlock = 256;
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

/// @throws Error (kMalformed) where a triangle holds what no sum of x xᵀ can
/// @param first  channel of its first row
void require_sound(const std::string& where, const GramInput& input, std::int64_t first,
                   std::span<const float> triangle) {
    std::size_t at = 0;
    for (std::int64_t row = 0; at < triangle.size(); ++row)
        for (std::int64_t col = 0; col <= row; ++col, ++at) {
            const float value = triangle[at];
            if (std::isfinite(value) && (col < row || value >= 0)) continue;
            throw Error(ErrorKind::kMalformed, fmt::format("{}: {}{} at ({}, {}) is {}; expected {}", where,
                                                           input.matrix, kSuffix, first + row, first + col, value,
                                                           col < row ? "a finite number" : "a finite sum of squares"));
        }
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

/// @param scales  of all channels; empty: none  @param first  the block's first channel
void divide_by(std::span<const float> scales, std::int64_t first, GramBlock& block) {
    if (scales.empty()) return;
    const std::span<const float> own =
        scales.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(block.side));
    auto value = block.triangle.begin();
    for (std::size_t row = 0; row < own.size(); ++row)
        for (std::size_t col = 0; col <= row; ++col) *value++ /= own[row] * own[col];
}

}  // namespace

std::optional<std::int64_t> gram_block(std::int64_t width, std::int64_t max_block) {
    for (std::int64_t n = 1; n <= kMaxBlocks; ++n)
        if (width % n == 0 && width / n <= max_block) return width / n;
    return std::nullopt;
}

std::optional<std::int64_t> block_within(std::int64_t block, std::uint64_t most_bytes,
                                         const std::function<std::uint64_t(std::int64_t)>& bytes_of) {
    for (std::int64_t parts = 1; parts == 1 || block / parts >= kLeastBlock; ++parts)
        if (block % parts == 0 && bytes_of(block / parts) <= most_bytes) return block / parts;
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

const GramInput* GramFile::find(const ModelTensor& matrix) const {
    if (matrix.is_vector || matrix.n_matrices != 1) return nullptr;
    const GramInput* input = find(gguf_name(matrix.id));
    if (input != nullptr && input->width != matrix.cols)
        throw Error(ErrorKind::kMalformed,
                    fmt::format("{}: the Gram matrix of {} is of {} channels; expected {}. Is it another model's?",
                                file_.file().path().string(), matrix.name, input->width, matrix.cols));
    return input;
}

void GramFile::require_model(std::string_view sha256) const {
    const std::string& seen = header_.model_sha256;
    if (!seen.empty() && !sha256.empty() && seen != sha256)
        throw Error(ErrorKind::kMalformed, fmt::format("{}: of a model with SHA-256 {}; expected {}, which was scored",
                                                       file_.file().path().string(), seen, sha256));
}

GramBlock GramFile::read(const GramInput& input, std::int64_t first, std::int64_t side) const {
    const GgufTensor& tensor = *file_.find(input.matrix + std::string(kSuffix));
    const std::int64_t start = first / input.block * triangle_length(input.block), within = first % input.block;
    GramBlock block{.side = side, .triangle = std::vector<float>(static_cast<std::size_t>(triangle_length(side)))};
    const std::span<float> values(block.triangle);
    const auto read = [&](std::int64_t from, std::span<float> out) {
        file_.read(tensor, static_cast<std::uint64_t>(from) * sizeof(float), std::as_writable_bytes(out));
    };
    if (within == 0) {
        read(start, values);
    } else {
        for (std::int64_t row = 0; row < side; ++row)  // the end of each of the file's rows
            read(start + triangle_length(within + row) + within,
                 values.subspan(static_cast<std::size_t>(triangle_length(row)), static_cast<std::size_t>(row + 1)));
    }
    require_sound(file_.file().path().string(), input, first, values);
    if (scales_) divide_by(scales_->columns(*parse_gguf_name(input.matrix)), first, block);
    return block;
}

GramBlocks GramFile::blocks(const GramInput& input, std::int64_t side) const {
    return {.width = input.width,
            .block = side,
            .n_tokens = header_.n_tokens,
            .read = [this, &input, side](std::int64_t first) { return read(input, first, side); }};
}

GramWriter::GramWriter(const std::filesystem::path& target, const GramHeader& header, Overwrite overwrite)
    : file_(target, layout_of(header), overwrite) {}

void GramWriter::write(const GramInput& input, std::span<const float> packed) {
    const auto length = static_cast<std::size_t>(triangle_length(input.block));
    for (std::int64_t block = 0; block < input.n_blocks(); ++block)
        require_sound("Gram matrices to be saved", input, block * input.block,
                      packed.subspan(static_cast<std::size_t>(block) * length, length));
    file_.write(input.matrix + std::string(kSuffix), std::as_bytes(packed));
}

std::uint64_t gram_file_bytes(const GramHeader& header) {
    return layout_of(header).file_bytes();
}

}  // namespace plasticity
