#include "artifact/adapted_model.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "support/random_adapter.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

class AdaptedModels : public testing::TestWithParam<ggml_type> {
protected:
    std::unique_ptr<Model> open() const {
        return open_model(test::write_tiny_gguf(dir_ / "m.gguf", {.n_ff = 64, .matrix_type = GetParam()}));
    }
    test::TempDir dir_;
};

TEST_P(AdaptedModels, ReadAsWPlusScaledBA) {
    const auto base = open();
    const LoraAdapter adapter =
        test::random_adapter(base->architecture(), 3, 0.2f, std::array{TensorRole::kKey, TensorRole::kDown});
    const auto merged = with_adapter(open(), adapter);
    for (const ModelTensor& tensor : base->tensors()) {
        const std::vector<float> before = test::all_values(*base, tensor.id),
                                 after = test::all_values(*merged, tensor.id);
        const LoraMatrix* matrix = adapter.find(tensor.id);
        if (matrix == nullptr) {
            EXPECT_EQ(after, before) << tensor.name;
            EXPECT_EQ(merged->require(tensor.id).type, tensor.type);
            continue;
        }
        EXPECT_EQ(merged->require(tensor.id).type, GGML_TYPE_F32);
        for (std::int64_t row = 0; row < tensor.rows; ++row)
            for (std::int64_t col = 0; col < tensor.cols; ++col) {
                double change = 0;
                for (std::int64_t k = 0; k < 3; ++k)
                    change += double{matrix->b[static_cast<std::size_t>(row * 3 + k)]} *
                              double{matrix->a[static_cast<std::size_t>(k * tensor.cols + col)]};
                const auto at = static_cast<std::size_t>(row * tensor.cols + col);
                ASSERT_NEAR(after[at], double{before[at]} + 2.0 * change, 1e-6) << tensor.name;
            }
    }
}

TEST_P(AdaptedModels, ReadAnyRowsByThemselves) {
    const auto base = open();
    const auto merged = with_adapter(open(), test::random_adapter(base->architecture()));
    const ModelTensor& tensor = merged->require({TensorRole::kAttentionOutput, 1});
    const std::vector<float> all = test::all_values(*merged, tensor.id);
    std::vector<float> some(static_cast<std::size_t>(5 * tensor.cols));
    merged->read_rows_f32(tensor, 7, 5, some);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + 7 * tensor.cols));
}

INSTANTIATE_TEST_SUITE_P(Types, AdaptedModels, testing::Values(GGML_TYPE_F32, GGML_TYPE_Q8_0),
                         [](const auto& type) { return std::string(ggml_type_name(type.param)); });

TEST(AdaptedModel, RefusesAnAdapterOfAnotherModel) {
    const test::TempDir dir;
    LoraAdapter adapter = test::random_adapter(test::tiny_architecture({.n_ff = 64}));
    try {
        with_adapter(open_model(test::write_tiny_gguf(dir / "m.gguf")), adapter);
        ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
        EXPECT_NE(std::string(error.what()).find("blk.0.ffn_gate.weight is 64 × 32 in the adapter, 48 × 32"),
                  std::string::npos)
            << error.what();
    }
}

}  // namespace
}  // namespace plasticity
