#include "model/gguf_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "core/error.h"
#include "io/gguf_writer.h"
#include "model/column_padding.h"
#include "model/stock_form.h"
#include "model/tensor_stream.h"

namespace plasticity {
namespace {

struct MatrixType {
    std::string_view option;
    std::optional<ggml_type> type;           ///< nothing: as stored
    std::optional<std::uint32_t> file_type;  ///< llama_ftype, llama.cpp's include/llama.h
};

constexpr std::array kMatrixTypes{
    MatrixType{"f32", GGML_TYPE_F32, 0},
    MatrixType{"f16", GGML_TYPE_F16, 1},
    MatrixType{"bf16", GGML_TYPE_BF16, 32},
    MatrixType{"stored", std::nullopt, std::nullopt},
};

const MatrixType& matrix_type_of(std::string_view option) {
    for (const MatrixType& type : kMatrixTypes)
        if (type.option == option) return type;
    throw Error(ErrorKind::kUsage, fmt::format("export: got type {}; expected f32, f16, bf16 or stored", option));
}

Architecture stock_architecture(const Model& model) {
    Architecture architecture = model.architecture();
    const StockForm form = stock_form(architecture, architecture);
    architecture.name = form.architecture;
    architecture.rope_layout = form.rope_layout;
    return architecture;
}

ggml_type type_in_file(const ModelTensor& tensor, const MatrixType& matrices) {
    if (!is_matrix(tensor.id)) return GGML_TYPE_F32;
    return matrices.type.value_or(tensor.type);
}

GgufLayout lay_out(const Model& model, const Architecture& architecture, const MatrixType& matrices) {
    GgufLayout layout;
    layout.metadata.set("general.architecture", architecture.name);
    for (const auto& [key, value] : model.general().entries()) layout.metadata.set(key, value);
    if (matrices.file_type) layout.metadata.set("general.file_type", *matrices.file_type);
    write_architecture(architecture, layout.metadata);
    for (const auto& [key, value] : model.tokenizer().entries()) layout.metadata.set(key, value);

    for (const ModelTensor& tensor : model.tensors()) {
        const ggml_type type = type_in_file(tensor, matrices);
        const std::int64_t length = type == tensor.type ? tensor.row_length() : tensor.cols;
        if (length != tensor.cols) layout.metadata.set(std::string(kPaddedColumnsKey), true);
        layout.tensors.push_back({.name = tensor.name,
                                  .type = type,
                                  .n_dims = tensor.n_dims(),
                                  .dims = {length, tensor.rows / tensor.n_matrices, tensor.n_matrices, 1}});
    }
    if (std::ranges::any_of(layout.tensors, ggml_is_quantized, &GgufTensorSpec::type))
        layout.metadata.set("general.quantization_version", std::uint32_t{GGML_QNT_VERSION});
    return layout;
}

}  // namespace

void export_gguf(const Model& model, const GgufExportOptions& options, Progress& progress) {
    const MatrixType& matrices = matrix_type_of(options.type);
    if (model.reads_from(options.file))
        throw Error(ErrorKind::kUsage,
                    fmt::format("{}: is the model being exported; name another file", options.file.string()));
    const Architecture architecture = stock_architecture(model);
    GgufWriter writer(options.file, lay_out(model, architecture, matrices), options.overwrite);

    progress.begin("export", weight_count(model), "weights");
    for (const ModelTensor& tensor : model.tensors())
        stream_tensor(
            model, tensor, {.type = type_in_file(tensor, matrices), .rope_layout = architecture.rope_layout},
            [&](std::span<const std::byte> tile) { writer.write(tensor.name, tile); }, progress);
    model.require_unchanged();
    writer.finish();
    progress.end();
}

}  // namespace plasticity
