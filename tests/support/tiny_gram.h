#pragma once

// Gram matrices of made-up inputs. Header only: the support library stands below src/artifact.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "artifact/gram.h"
#include "support/tiny_model.h"

namespace plasticity::test {

inline constexpr int kTinyGramRepeats = 20;

/// The lower triangle of Σ x xᵀ over 50 inputs that follow from the width alone, each seen some times.
inline std::vector<float> tiny_gram_triangle(std::int64_t width) {
    const auto n = static_cast<std::size_t>(width);
    const std::vector<float> inputs = uniform_stream("inputs", 50 * n);
    std::vector<float> packed;
    for (std::size_t row = 0; row < n; ++row)
        for (std::size_t col = 0; col <= row; ++col) {
            double sum = 0;
            for (std::size_t token = 0; token < inputs.size(); token += n)
                sum += double{inputs[token + row]} * double{inputs[token + col]};
            packed.push_back(static_cast<float>(kTinyGramRepeats * sum));
        }
    return packed;
}

/// @param inputs  matrix that owns the input (gram_owner()), and its width
inline void write_tiny_gram(const std::filesystem::path& path,
                            const std::vector<std::pair<std::string, std::int64_t>>& inputs,
                            const std::string& model_sha256 = "") {
    GramHeader header{.n_tokens = 50 * kTinyGramRepeats, .model_sha256 = model_sha256};
    for (const auto& [matrix, width] : inputs)
        header.inputs.push_back({.matrix = matrix, .width = width, .block = width});
    GramWriter file(path, header, Overwrite::kReplace);
    for (const GramInput& input : header.inputs) file.write(input, tiny_gram_triangle(input.width));
    file.finish();
}

}  // namespace plasticity::test
