#include <algorithm>
#include <vector>

#include "fuzz_target.h"
#include "io/gguf_reader.h"
#include "model/model.h"

namespace plasticity::fuzz {
namespace {

void read_every_tensor(const GgufReader& file) {
    std::vector<std::byte> bytes;
    for (const GgufTensor& tensor : file.tensors()) {
        require(tensor.offset <= file.file().size() && tensor.bytes <= file.file().size() - tensor.offset,
                "a tensor lies in the file");
        require(tensor.offset % file.alignment() == 0, "a tensor is aligned");
        bytes.resize(tensor.bytes);
        file.read(tensor, 0, bytes);
    }
}

void read_every_weight(const Model& model) {
    std::vector<float> row;
    for (const ModelTensor& tensor : model.tensors()) {
        row.resize(static_cast<std::size_t>(tensor.cols));
        model.read_rows_f32(tensor, 0, 1, row);
        model.read_rows_f32(tensor, tensor.rows - 1, 1, row);
    }
}

}  // namespace

/// The header, and what a model makes of it: architecture, tokenizer, tensors by name.
void run_gguf(std::span<const std::byte> input) {
    const std::filesystem::path path = file_of(input);
    const auto is_gguf = accepts({ErrorKind::kMalformed}, [&] { read_every_tensor(GgufReader(path)); });
    const auto is_model = accepts({ErrorKind::kMalformed}, [&] { read_every_weight(*open_model(path)); });
    require(is_gguf || !is_model, "a model is a GGUF file");
}

}  // namespace plasticity::fuzz
