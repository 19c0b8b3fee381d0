#include "artifact/gguf_adapter.h"

#include "artifact/lora_rows.h"
#include "io/gguf_writer.h"
#include "model/stock_form.h"

namespace plasticity {

void save_gguf_adapter(const LoraAdapter& adapter, const Architecture& architecture,
                       const std::filesystem::path& target, Overwrite overwrite) {
    const StockForm form = stock_form(architecture, architecture);
    const LoraAdapter stored = in_rope_layout(adapter, architecture, architecture.rope_layout, form.rope_layout);
    GgufLayout layout;
    layout.metadata.set("general.architecture", form.architecture);
    layout.metadata.set("general.type", std::string("adapter"));
    layout.metadata.set("adapter.type", std::string("lora"));
    layout.metadata.set("adapter.lora.alpha", static_cast<float>(stored.alpha));
    for (const LoraMatrix& matrix : stored.matrices) {
        const std::string name = gguf_name(matrix.id);
        layout.tensors.push_back({.name = name + ".lora_a", .n_dims = 2, .dims = {matrix.cols, stored.rank, 1, 1}});
        layout.tensors.push_back({.name = name + ".lora_b", .n_dims = 2, .dims = {stored.rank, matrix.rows, 1, 1}});
    }
    GgufWriter file(target, std::move(layout), overwrite);
    for (const LoraMatrix& matrix : stored.matrices) {
        const std::string name = gguf_name(matrix.id);
        file.write(name + ".lora_a", std::as_bytes(std::span(matrix.a)));
        file.write(name + ".lora_b", std::as_bytes(std::span(matrix.b)));
    }
    file.finish();
}

}  // namespace plasticity
