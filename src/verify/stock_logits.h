#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "io/input_file.h"

namespace plasticity {

/// The file that `llama-perplexity --kl-divergence-base` writes: for every scored position the log probabilities of the
/// whole vocabulary, as 16-bit codes between the largest and 16 nats below it. Little-endian:
///
///     "_logits_" | u32 context | i32 n_vocab | i32 n_chunks | i32 tokens[n_chunks][context] | rows
///     row: f32 step | f32 lowest | u16 codes[n_vocab] | padding to an even count     ln p = lowest + step · code
///
/// Rows: of each chunk the positions from context/2 up to the last but one. Source: llama.cpp, tools/perplexity.
class StockLogits {
public:
    /// @throws Error (kMissing, kMalformed, kIo)
    explicit StockLogits(const std::filesystem::path& path);

    std::int32_t context() const { return context_; }
    std::int32_t n_vocab() const { return n_vocab_; }
    std::int32_t n_chunks() const { return n_chunks_; }
    std::int32_t rows_per_chunk() const { return context_ - 1 - context_ / 2; }
    const std::vector<std::int32_t>& tokens() const { return tokens_; }  ///< [n_chunks][context]

    /// @param row            from 0, over all chunks
    /// @param log_probabilities  [n_vocab], overwritten
    /// @returns the step between codes, nats: values are off by half of it at most, but for those at the bottom
    float read_row(std::int64_t row, std::span<float> log_probabilities) const;

private:
    std::uint64_t row_bytes() const;

    InputFile file_;
    std::int32_t context_ = 0, n_vocab_ = 0, n_chunks_ = 0;
    std::vector<std::int32_t> tokens_;
    std::uint64_t first_row_ = 0;  ///< byte offset
};

}  // namespace plasticity
