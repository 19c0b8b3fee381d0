#include "engine/bf16_product.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <span>
#include <vector>

#include "engine/backend.h"
#include "engine/decoder_graph.h"

namespace plasticity {
namespace {

struct Shape {
    std::int64_t columns, rows, tokens;
};

/// A matrix and what it is multiplied with.
struct Operands {
    explicit Operands(const Shape& of_matrix) : shape(of_matrix) {
        std::mt19937 generator(7);
        std::normal_distribution<float> normal;
        matrix.resize(static_cast<std::size_t>(shape.columns * shape.rows));
        x.resize(static_cast<std::size_t>(shape.columns * shape.tokens));
        for (ggml_bf16_t& value : matrix) value = ggml_fp32_to_bf16(normal(generator));
        for (float& value : x) value = normal(generator);
    }

    std::vector<float> product(int threads) const { return run(build_bf16_product, matrix, shape, threads); }

    /// The same from the transpose of the matrix.
    std::vector<float> product_back(int threads) const {
        std::vector<ggml_bf16_t> turned(matrix.size());
        for (std::size_t i = 0; i < matrix.size(); ++i) {
            const auto columns = static_cast<std::size_t>(shape.columns), rows = static_cast<std::size_t>(shape.rows);
            turned[i % columns * rows + i / columns] = matrix[i];
        }
        return run(build_bf16_product_back, turned, {shape.rows, shape.columns, shape.tokens}, threads);
    }

    using Build = ggml_tensor* (*)(ggml_context*, ggml_tensor*, ggml_tensor*);
    std::vector<float> run(Build build, std::span<const ggml_bf16_t> values, const Shape& of_matrix,
                           int threads) const {
        const Backend backend(threads);
        GraphWorkspace graph(backend);
        graph.begin(8);
        ggml_tensor* m = graph.input(GGML_TYPE_BF16, of_matrix.columns, of_matrix.rows);
        ggml_tensor* v = graph.input(GGML_TYPE_F32, shape.columns, shape.tokens);
        ggml_tensor* y = graph.keep(build(graph.context(), m, v));
        graph.prepare();
        fill<ggml_bf16_t>(m, values);
        fill<float>(v, x);
        graph.run();
        EXPECT_EQ(y->ne[0], shape.rows);
        EXPECT_EQ(y->ne[1], shape.tokens);
        return values_of(y);
    }

    float matrix_at(std::int64_t row, std::int64_t column) const {
        return ggml_bf16_to_fp32(matrix[static_cast<std::size_t>(row * shape.columns + column)]);
    }
    float x_at(std::int64_t token, std::int64_t column) const {
        return ggml_bf16_to_fp32(ggml_fp32_to_bf16(x[static_cast<std::size_t>(token * shape.columns + column)]));
    }

    Shape shape;
    std::vector<ggml_bf16_t> matrix;
    std::vector<float> x;
};

class BF16Product : public testing::TestWithParam<Shape> {
protected:
    void SetUp() override {
        if (!multiplies_bf16()) GTEST_SKIP() << "this CPU has no instructions for BF16";
    }
};

TEST_P(BF16Product, IsTheSumOfProductsOfRoundedNumbers) {
    const Operands operands(GetParam());
    const std::vector<float> y = operands.product(2);
    for (std::int64_t token = 0; token < GetParam().tokens; ++token)
        for (std::int64_t row = 0; row < GetParam().rows; ++row) {
            double sum = 0, size = 0;
            for (std::int64_t column = 0; column < GetParam().columns; ++column) {
                const double term = double{operands.matrix_at(row, column)} * double{operands.x_at(token, column)};
                sum += term;
                size += std::fabs(term);
            }
            const float found = y[static_cast<std::size_t>(token * GetParam().rows + row)];
            ASSERT_NEAR(found, sum, 1e-6 * size) << "row " << row << ", token " << token;
        }
}

TEST_P(BF16Product, IsTheSameForAnyNumberOfThreads) {
    const Operands operands(GetParam());
    const std::vector<float> one = operands.product(1);
    EXPECT_EQ(operands.product(2), one);
    EXPECT_EQ(operands.product(5), one);
}

TEST_P(BF16Product, OfTheTransposeIsTheSame) {
    const Operands operands(GetParam());
    const std::vector<float> y = operands.product(1);
    EXPECT_EQ(operands.product_back(1), y);
    EXPECT_EQ(operands.product_back(3), y);
}

TEST(BF16ProductBack, PairsAnOddNumberOfRowsWithZeros) {
    if (!multiplies_bf16()) GTEST_SKIP() << "this CPU has no instructions for BF16";
    const Operands even({4, 5, 3});  // the fourth column is not there
    Operands odd({3, 5, 3});
    for (std::size_t row = 0; row < 5; ++row)
        std::copy_n(even.matrix.begin() + 4 * row, 3, odd.matrix.begin() + 3 * row);
    for (std::size_t token = 0; token < 3; ++token)
        std::copy_n(even.x.begin() + 4 * token, 3, odd.x.begin() + 3 * token);
    const std::vector<float> y = odd.product_back(1);
    for (std::int64_t token = 0; token < 3; ++token)
        for (std::int64_t row = 0; row < 5; ++row) {
            double sum = 0;
            for (std::int64_t column = 0; column < 3; ++column)
                sum += double{odd.matrix_at(row, column)} * double{odd.x_at(token, column)};
            EXPECT_NEAR(y[static_cast<std::size_t>(token * 5 + row)], sum, 1e-5);
        }
}

// Registers hold 16 words of two columns, panels 48 rows and 1,024 columns, tiles 8 tokens: whole ones, less, and more.
INSTANTIATE_TEST_SUITE_P(Shapes, BF16Product,
                         testing::Values(Shape{2, 1, 1}, Shape{30, 47, 7}, Shape{32, 16, 3}, Shape{64, 48, 8},
                                         Shape{96, 96, 16}, Shape{98, 100, 17}, Shape{1024, 49, 5}, Shape{1026, 33, 9},
                                         Shape{4132, 130, 26}));

TEST(Product, GoesToTheKernelWhereThatIsFor) {
    const Backend backend(1);
    GraphWorkspace graph(backend);
    graph.begin(16);
    const Architecture architecture{};
    const auto product = [&](bool on_cpu, ggml_type type, std::int64_t columns) {
        const GraphScope scope{.context = graph.context(),
                               .architecture = architecture,
                               .positions = nullptr,
                               .rope_factors = nullptr,
                               .on_cpu = on_cpu};
        return build_product(scope, graph.input(type, columns, 3), graph.input(GGML_TYPE_F32, columns, 2))->op;
    };
    EXPECT_EQ(product(true, GGML_TYPE_BF16, 4), multiplies_bf16() ? GGML_OP_CUSTOM : GGML_OP_MUL_MAT);
    EXPECT_EQ(product(true, GGML_TYPE_BF16, 5), GGML_OP_MUL_MAT);
    EXPECT_EQ(product(true, GGML_TYPE_F16, 4), GGML_OP_MUL_MAT);
    EXPECT_EQ(product(false, GGML_TYPE_BF16, 4), GGML_OP_MUL_MAT);
}

}  // namespace
}  // namespace plasticity
