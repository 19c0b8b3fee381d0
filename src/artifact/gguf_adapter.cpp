#include "artifact/gguf_adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "artifact/lora_rows.h"
#include "io/dequantize.h"
#include "io/gguf_reader.h"
#include "io/gguf_writer.h"
#include "io/printable.h"
#include "io/problem_list.h"
#include "model/stock_form.h"

namespace plasticity {
namespace {

constexpr std::string_view kHalfA = ".lora_a", kHalfB = ".lora_b";

/// The two tensors of one adapted matrix.
struct Halves {
    const GgufTensor* a = nullptr;  ///< {cols, rank}
    const GgufTensor* b = nullptr;  ///< {rank, rows}
};

class AdapterReader {
public:
    explicit AdapterReader(const std::filesystem::path& path) : file_(path), problems_(path.string()) {}

    GgufAdapter read() {
        const GgufMetadata& metadata = file_.metadata();
        for (const auto& [key, expected] : {std::pair{"general.type", "adapter"}, {"adapter.type", "lora"}})
            if (const std::string got = metadata.text_or(key, ""); got != expected)
                problems_.add(fmt::format("{} is {}; expected '{}'", key, printable(got), expected));
        problems_.throw_if_any();
        GgufAdapter read{.architecture = metadata.text("general.architecture"), .adapter = {}};
        sort_tensors();
        for (const auto& [name, halves] : halves_) read_matrix(name, halves, read.adapter);
        if (halves_.empty()) problems_.add("no adapted matrices");
        problems_.throw_if_any();
        std::ranges::sort(read.adapter.matrices, {}, [](const LoraMatrix& matrix) {
            return std::pair(matrix.id.layer, std::ranges::find(lora_roles(), matrix.id.role) - lora_roles().begin());
        });
        // Without an alpha, llama.cpp adds B A as it is.
        const double alpha = metadata.real_or("adapter.lora.alpha", 0);
        read.adapter.alpha = alpha == 0 ? read.adapter.rank : alpha;
        if (!std::isfinite(alpha)) problems_.add(fmt::format("adapter.lora.alpha is {}", alpha));
        problems_.throw_if_any();
        file_.file().require_unchanged();
        return read;
    }

private:
    void sort_tensors() {
        for (const GgufTensor& tensor : file_.tensors()) {
            const std::string_view name = tensor.name;
            const std::string_view matrix = name.substr(0, name.size() - std::min(name.size(), kHalfA.size()));
            if (name.ends_with(kHalfA))
                halves_[matrix].a = &tensor;
            else if (name.ends_with(kHalfB))
                halves_[matrix].b = &tensor;
            else
                problems_.add(fmt::format("{}: not a low-rank half of a matrix", printable(name)));
        }
    }

    void read_matrix(std::string_view name, const Halves& halves, LoraAdapter& adapter) {
        const auto id = parse_gguf_name(name);
        if (!id || id->is_bias || id->layer < 0 || std::ranges::find(lora_roles(), id->role) == lora_roles().end()) {
            problems_.add(fmt::format("{}: expected matrices of blocks: q, k, v, o, gate, up, down", printable(name)));
            return;
        }
        const auto& [a, b] = halves;
        if (a == nullptr || b == nullptr) {
            problems_.add(fmt::format("{}: only one of lora_a and lora_b is there", printable(name)));
            return;
        }
        const std::int64_t rank = a->n_rows();
        if (adapter.rank == 0 && rank <= kMaxLoraRank) adapter.rank = static_cast<std::int32_t>(rank);
        if (a->n_dims > 2 || b->n_dims > 2 || rank != adapter.rank || b->row_length() != rank) {
            problems_.add(
                fmt::format("{}: halves of {} × {} and {} × {}; expected one rank of at most {} in all of the file",
                            printable(name), a->n_rows(), a->row_length(), b->n_rows(), b->row_length(), kMaxLoraRank));
            return;
        }
        LoraMatrix matrix{.id = *id, .rows = b->n_rows(), .cols = a->row_length(), .a = values(*a), .b = values(*b)};
        adapter.matrices.push_back(std::move(matrix));
    }

    std::vector<float> values(const GgufTensor& tensor) {
        std::vector<float> values(static_cast<std::size_t>(tensor.row_length() * tensor.n_rows()));
        if (tensor.type == GGML_TYPE_F32) {
            file_.read(tensor, 0, std::as_writable_bytes(std::span(values)));
        } else if (tensor.type == GGML_TYPE_F16 || tensor.type == GGML_TYPE_BF16 || tensor.type == GGML_TYPE_Q8_0) {
            std::vector<std::byte> stored(tensor.bytes);
            file_.read(tensor, 0, stored);
            dequantize(tensor.type, stored, values);
        } else {
            problems_.add(fmt::format("{} is {}; expected F32, F16, BF16 or Q8_0", printable(tensor.name),
                                      ggml_type_name(tensor.type)));
        }
        const auto bad = std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
        if (bad != values.end())
            problems_.add(fmt::format("{} at index {} is {}; expected finite values", printable(tensor.name),
                                      bad - values.begin(), *bad));
        return values;
    }

    GgufReader file_;
    ProblemList problems_;
    std::map<std::string_view, Halves> halves_;  ///< by the matrix's name
};

}  // namespace

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

GgufAdapter load_gguf_adapter(const std::filesystem::path& path) {
    return AdapterReader(path).read();
}

}  // namespace plasticity
