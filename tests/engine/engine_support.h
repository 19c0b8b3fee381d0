#pragma once

// What the engine's tests share.
//
// A scripted model knows one thing: the logits of every token's successor, as the test wrote them down. Its embedding
// is one-hot, its blocks add nothing, and its output matrix is the table. So text can be forced and probabilities are
// known by hand:
//
//     write_scripted_gguf(dir / "s.gguf", [](int token, int next) { return next == token + 1 ? 9.0f : 0.0f; });

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/progress.h"
#include "engine/decoder.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity::test {

inline Progress& quiet() {
    static const std::unique_ptr<Progress> progress = make_progress(ProgressStyle::kQuiet);
    return *progress;
}

/// A tiny model of a family with a long context; deci's layers differ, and one has no attention.
inline TinyModelOptions family_model(const std::string& architecture) {
    TinyModelOptions options{.architecture = architecture, .context_length = 1024};
    if (architecture == "deci") options.layers = {{4, 2, 48}, {0, 0, 32}, {2, 1, 64}};
    return options;
}

/// Token ids without a pattern, all of them bytes.
inline std::vector<std::int32_t> scattered_tokens(std::size_t n, std::uint32_t seed = 1) {
    std::vector<std::int32_t> tokens;
    std::uint32_t state = seed;
    while (tokens.size() < n) {
        state = state * 1664525u + 1013904223u;
        tokens.push_back(static_cast<std::int32_t>(state >> 24));
    }
    return tokens;
}

/// [position][n_vocab]
using Rows = std::vector<std::vector<float>>;

inline double largest_difference(const Rows& a, const Rows& b) {
    double largest = 0;
    for (std::size_t row = 0; row < a.size(); ++row)
        for (std::size_t id = 0; id < a[row].size(); ++id)
            largest = std::max(largest, std::fabs(static_cast<double>(a[row][id]) - b[row][id]));
    return largest;
}

/// Logits of every position, [position][n_vocab], fed `step` tokens at a time.
inline std::vector<std::vector<float>> logits_of(Decoder& decoder, const std::vector<std::int32_t>& tokens,
                                                 std::size_t step) {
    std::vector<std::vector<float>> rows;
    for (std::size_t begin = 0; begin < tokens.size(); begin += step)
        decoder.feed(std::span(tokens).subspan(begin, std::min(step, tokens.size() - begin)), 0,
                     [&](std::int32_t position, std::span<const float> row) {
                         if (position == static_cast<std::int32_t>(rows.size()))
                             rows.emplace_back(row.begin(), row.end());
                     });
    return rows;
}

inline std::filesystem::path write_scripted_gguf(const std::filesystem::path& path,
                                                 const std::function<float(int token, int next)>& logit,
                                                 std::int32_t context_length = 256) {
    // 264 channels of which a token has one; RMSNorm turns it into √264, being so large that epsilon does not count.
    constexpr std::int32_t kWidth = kTinyVocabulary;
    const GgufLayout layout =
        tiny_layout({.n_layer = 1, .n_embd = kWidth, .context_length = context_length, .tied = false});
    GgufWriter writer(path, layout, Overwrite::kReplace);
    for (const GgufTensorSpec& tensor : layout.tensors) {
        std::vector<float> values(static_cast<std::size_t>(tensor.dims[0] * tensor.dims[1]), 0.0f);
        const auto at = [&](int row, int col) -> float& {
            return values[static_cast<std::size_t>(row * kWidth + col)];
        };
        if (tensor.n_dims == 1) std::fill(values.begin(), values.end(), 1.0f);
        for (int token = 0; token < kWidth; ++token) {
            if (tensor.name == "token_embd.weight") at(token, token) = 100.0f;
            if (tensor.name != "output.weight") continue;
            for (int next = 0; next < kWidth; ++next)
                at(next, token) = logit(token, next) / std::sqrt(static_cast<float>(kWidth));
        }
        writer.write(tensor.name, std::as_bytes(std::span(values)));
    }
    writer.finish();
    return path;
}

}  // namespace plasticity::test
