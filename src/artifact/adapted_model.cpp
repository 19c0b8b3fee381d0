#include "artifact/adapted_model.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "artifact/derived_model.h"
#include "artifact/peft_folder.h"
#include "core/error.h"

namespace plasticity {
namespace {

/// row += scale · b A. @param b  [rank]  @param a  [rank][cols]
void add_row(std::span<float> row, std::span<const float> b, std::span<const float> a, double scale) {
    for (std::size_t k = 0; k < b.size(); ++k) {
        const double factor = scale * double{b[k]};
        const std::span<const float> of_k = a.subspan(k * row.size(), row.size());
        for (std::size_t col = 0; col < row.size(); ++col)
            row[col] = static_cast<float>(double{row[col]} + factor * double{of_k[col]});
    }
}

class AdaptedModel final : public DerivedModel {
public:
    AdaptedModel(std::unique_ptr<Model> model, LoraAdapter adapter)
        : DerivedModel(std::move(model)), adapter_(std::move(adapter)) {
        for (const LoraMatrix& matrix : adapter_.matrices) require_fits(matrix);
        for (ModelTensor& tensor : tensors_)
            if (adapter_.find(tensor.id) != nullptr) declare_computed(tensor);
    }

    void read_rows(const ModelTensor& tensor, std::int64_t first_row, std::int64_t n_rows,
                   std::span<std::byte> out) const override {
        const ModelTensor& stored = base().require(tensor.id);
        const LoraMatrix* matrix = adapter_.find(tensor.id);
        if (matrix == nullptr) return base().read_rows(stored, first_row, n_rows, out);

        const auto cols = static_cast<std::size_t>(matrix->cols), rank = static_cast<std::size_t>(adapter_.rank);
        std::vector<float> values(static_cast<std::size_t>(n_rows) * cols);
        base().read_rows_f32(stored, first_row, n_rows, values);
        for (std::size_t row = 0; row < static_cast<std::size_t>(n_rows); ++row)
            add_row(std::span(values).subspan(row * cols, cols),
                    std::span(matrix->b).subspan((static_cast<std::size_t>(first_row) + row) * rank, rank), matrix->a,
                    adapter_.scale());
        std::memcpy(out.data(), values.data(), out.size());
    }

private:
    void require_fits(const LoraMatrix& matrix) const {
        const ModelTensor* tensor = base().find(matrix.id);
        if (tensor == nullptr || tensor->rows != matrix.rows || tensor->cols != matrix.cols)
            throw Error(
                ErrorKind::kMalformed,
                fmt::format("adapter: {} is {} × {} in the adapter, {} × {} in {}; expected an adapter of this "
                            "model",
                            gguf_name(matrix.id), matrix.rows, matrix.cols, tensor == nullptr ? 0 : tensor->rows,
                            tensor == nullptr ? 0 : tensor->cols, base().path().string()));
    }

    LoraAdapter adapter_;
};

}  // namespace

std::unique_ptr<Model> with_adapter(std::unique_ptr<Model> model, LoraAdapter adapter) {
    return std::make_unique<AdaptedModel>(std::move(model), std::move(adapter));
}

std::unique_ptr<Model> open_model(const std::filesystem::path& model,
                                  const std::optional<std::filesystem::path>& adapter) {
    auto opened = open_model(model);
    if (!adapter) return opened;
    LoraAdapter loaded = load_peft_folder(*adapter, opened->architecture());
    return with_adapter(std::move(opened), std::move(loaded));
}

}  // namespace plasticity
