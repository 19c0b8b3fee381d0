#pragma once

// A Gram matrix as whole squares in memory. Header only: the support library stands below src/artifact.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "artifact/gram.h"

namespace plasticity::test {

struct SquareGram {
    std::int64_t width = 0;
    std::int64_t block = 0;
    std::vector<float> values;  ///< [width / block][block][block], each block symmetric
    std::int64_t n_tokens = 1 << 20;

    /// This must outlive them.
    GramBlocks blocks() const {
        return {.width = width, .block = block, .n_tokens = n_tokens, .read = [this](std::int64_t first) {
                    GramBlock result{.side = block, .triangle = {}};
                    for (std::int64_t row = 0; row < block; ++row)
                        for (std::int64_t col = 0; col <= row; ++col)
                            result.triangle.push_back(values[static_cast<std::size_t>((first + row) * block + col)]);
                    return result;
                }};
    }
};

/// Σ x xᵀ, one block. @param inputs  [tokens][width]
inline SquareGram square_gram(const std::vector<double>& inputs, std::size_t width) {
    const auto side = static_cast<std::int64_t>(width);
    SquareGram gram{.width = side, .block = side, .values = std::vector<float>(width * width)};
    for (std::size_t i = 0; i < gram.values.size(); ++i) {
        double sum = 0;
        for (std::size_t token = 0; token < inputs.size(); token += width)
            sum += inputs[token + i / width] * inputs[token + i % width];
        gram.values[i] = static_cast<float>(sum);
    }
    return gram;
}

/// All blocks of an input as a file has them.
inline SquareGram squares_of(const GramFile& file, const char* matrix_name) {
    const GramInput& input = *file.find(matrix_name);
    SquareGram squares{.width = input.width, .block = input.block, .values = {}, .n_tokens = file.header().n_tokens};
    for (std::int64_t first = 0; first < input.width; first += input.block) {
        const GramBlock block = file.read(input, first, input.block);
        for (std::int64_t row = 0; row < block.side; ++row)
            for (std::int64_t col = 0; col < block.side; ++col) squares.values.push_back(block.at(row, col));
    }
    return squares;
}

}  // namespace plasticity::test
