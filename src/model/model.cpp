#include "model/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <numeric>

#include "core/error.h"
#include "core/hash.h"
#include "core/interrupt.h"
#include "io/dequantize.h"
#include "io/file_identity.h"
#include "io/hub_cache.h"
#include "model/gguf_model.h"
#include "model/hf_model.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kTileBytes = std::uint64_t{4} << 20;

std::int64_t rows_per_tile(const ModelTensor& tensor) {
    return std::max<std::int64_t>(
        1, static_cast<std::int64_t>(kTileBytes / std::max<std::uint64_t>(1, tensor.row_bytes())));
}

/// Rows of blocks as F32, without the zeros that fill their last blocks. @param to  [n][tensor.cols]
void to_f32(const ModelTensor& tensor, std::span<const std::byte> stored, std::span<float> to) {
    if (tensor.row_length() == tensor.cols) return dequantize(tensor.type, stored, to);
    const auto cols = static_cast<std::size_t>(tensor.cols);
    std::vector<float> row(static_cast<std::size_t>(tensor.row_length()));
    for (std::size_t i = 0; i < to.size() / cols; ++i) {
        dequantize(tensor.type, stored.subspan(i * tensor.row_bytes()), row);
        std::ranges::copy(std::span(row).first(cols), to.subspan(i * cols).begin());
    }
}

void hash_number(Sha256& hash, std::int64_t value) {
    hash.update(std::as_bytes(std::span(&value, 1)));
}

}  // namespace

const ModelTensor* Model::find(const TensorId& id) const {
    const auto found = std::ranges::find(tensors_, id, &ModelTensor::id);
    return found == tensors_.end() ? nullptr : &*found;
}

const ModelTensor& Model::require(const TensorId& id) const {
    if (const ModelTensor* tensor = find(id)) return *tensor;
    throw Error(ErrorKind::kMalformed, fmt::format("{}: {} is missing", path_.string(), gguf_name(id)));
}

void Model::read_rows_f32(const ModelTensor& tensor, std::int64_t first_row, std::int64_t n_rows,
                          std::span<float> out) const {
    if (tensor.type == GGML_TYPE_F32) return read_rows(tensor, first_row, n_rows, std::as_writable_bytes(out));

    const std::int64_t tile_rows = std::min(n_rows, rows_per_tile(tensor));
    std::vector<std::byte> stored(tensor.row_bytes() * static_cast<std::uint64_t>(tile_rows));
    for (std::int64_t done = 0; done < n_rows; done += tile_rows) {
        const std::int64_t n = std::min(tile_rows, n_rows - done);
        const std::span tile = std::span(stored).first(tensor.row_bytes() * static_cast<std::uint64_t>(n));
        read_rows(tensor, first_row + done, n, tile);
        to_f32(tensor, tile,
               out.subspan(static_cast<std::size_t>(done * tensor.cols), static_cast<std::size_t>(n * tensor.cols)));
    }
}

bool Model::pass_over_tied_copy() {
    const std::optional<TiedCopy> copy = find_tied_copy(*this);
    if (!copy) return false;
    tied_copy_ = copy;
    const bool keeps_output = tied_copy_->name == gguf_name({TensorRole::kTokenEmbedding});
    if (keeps_output) {
        const ModelTensor& output = require({TensorRole::kOutput});
        ModelTensor& embedding = *std::ranges::find(tensors_, TensorId{TensorRole::kTokenEmbedding}, &ModelTensor::id);
        embedding.type = output.type;
        embedding.padded_cols = output.padded_cols;
    }
    std::erase_if(tensors_, [](const ModelTensor& tensor) { return tensor.id.role == TensorRole::kOutput; });
    architecture_.tied_embeddings = true;
    return keeps_output;
}

std::filesystem::path locate_model(const std::filesystem::path& given) {
    std::error_code failure;
    if (std::filesystem::exists(given, failure)) return given;
    if (const auto name = parse_hub_name(given.native())) return find_in_hub_cache(*name, hub_cache_folder());
    throw Error(ErrorKind::kMissing, fmt::format("{}: no such file or folder; check the path, or name a model of the "
                                                 "hub, such as Qwen/Qwen2.5-Coder-0.5B-Instruct",
                                                 given.string()));
}

std::unique_ptr<Model> open_model(const std::filesystem::path& given) {
    const std::filesystem::path path = locate_model(given);
    std::error_code ignored;
    return std::filesystem::is_directory(path, ignored) ? open_hf_model(path) : open_gguf_model(path);
}

std::uint64_t source_bytes(const Model& model) {
    return std::transform_reduce(model.files().begin(), model.files().end(), std::uint64_t{0}, std::plus{},
                                 [](const SourceFile& file) { return file.bytes; });
}

std::uint64_t weight_count(const Model& model) {
    return std::transform_reduce(
        model.tensors().begin(), model.tensors().end(), std::uint64_t{0}, std::plus{},
        [](const ModelTensor& tensor) { return static_cast<std::uint64_t>(tensor.rows * tensor.cols); });
}

std::string source_identity(const Model& model) {
    std::string identity;
    for (const SourceFile& file : model.files()) identity += file_identity(file.path);
    return identity;
}

std::string model_sha256(const Model& model) {
    Sha256 hash;
    std::vector<std::byte> buffer;
    for (const ModelTensor& tensor : model.tensors()) {
        hash.update(fmt::format("{}|{}|", tensor.name, ggml_type_name(tensor.type)));
        hash_number(hash, tensor.rows);
        hash_number(hash, tensor.cols);
        const std::int64_t tile_rows = rows_per_tile(tensor);
        for (std::int64_t row = 0; row < tensor.rows; row += tile_rows) {
            throw_if_interrupted();
            const std::int64_t n = std::min(tile_rows, tensor.rows - row);
            buffer.resize(tensor.row_bytes() * static_cast<std::uint64_t>(n));
            model.read_rows(tensor, row, n, buffer);
            hash.update(buffer);
        }
    }
    return hash.finish();
}

}  // namespace plasticity
