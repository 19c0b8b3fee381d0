#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "artifact/channel_scales.h"
#include "io/atomic_file.h"
#include "io/gguf_reader.h"
#include "io/gguf_writer.h"
#include "model/model.h"

namespace plasticity {

/// Values of a lower triangle with its diagonal.
constexpr std::int64_t triangle_length(std::int64_t side) {
    return side * (side + 1) / 2;
}

/// A square on the diagonal of a Gram matrix, Σ over tokens of x_t x_tᵀ, where x_t is what a matrix reads.
struct GramBlock {
    std::int64_t side = 0;        ///< channels
    std::vector<float> triangle;  ///< [triangle_length(side)], the lower one, row by row

    /// Of two channels, counted from the block's first.
    float at(std::int64_t a, std::int64_t b) const {
        return triangle[static_cast<std::size_t>(a < b ? triangle_length(b) + a : triangle_length(a) + b)];
    }
};

/// The blocks along the diagonal, read one at a time: a whole matrix may be larger than memory.
struct GramBlocks {
    std::int64_t width = 0;                             ///< of the input, the matrix' columns
    std::int64_t block = 0;                             ///< divides width; equal to it where the whole square is known
    std::int64_t n_tokens = 0;                          ///< summed over, > 0
    std::function<GramBlock(std::int64_t first)> read;  ///< the block whose first channel is `first`, a multiple
};

/// One input of the model. Matrices that read the same (q, k and v; gate and up) share it.
struct GramInput {
    std::string matrix;  ///< GGUF name of the first matrix that reads it: q, o, gate, down, or the output matrix
    std::int64_t width = 0;
    std::int64_t block = 0;

    std::int64_t n_blocks() const { return width / block; }
    /// F32 as stored: every block's lower triangle, row by row.
    std::int64_t packed_length() const { return n_blocks() * triangle_length(block); }
};

/// Widest block that is kept: 16,384² F32 are 1 GiB for whoever works with them.
inline constexpr std::int64_t kMaxGramBlock = 16384;

/// The widest block ≤ `max_block` that divides `width`; nothing where more than 16 blocks would be needed: such blocks
/// would say little of the whole.
std::optional<std::int64_t> gram_block(std::int64_t width, std::int64_t max_block = kMaxGramBlock);

/// The widest block that divides `block` and takes at most `most_bytes`; nothing where it would say next to nothing.
/// @param bytes_of  memory that working with a block of so many channels takes
std::optional<std::int64_t> block_within(std::int64_t block, std::uint64_t most_bytes,
                                         const std::function<std::uint64_t(std::int64_t)>& bytes_of);

/// The matrix whose entry holds what `matrix_name` reads: "blk.0.attn_q.weight" of "blk.0.attn_v.weight". A name that
/// shares with no other comes back as it is.
std::string gram_owner(std::string_view matrix_name);

/// What a file of Gram matrices says of itself.
struct GramHeader {
    std::vector<GramInput> inputs;  ///< in the order in which they are written
    std::int64_t n_tokens = 0;      ///< summed over
    std::vector<std::string> datasets;
    std::string model_sha256;  ///< of the weights that the inputs were seen with; empty: not stated
};

/// A file of Gram matrices: GGUF, `general.type` = "gram", one F32 tensor `<matrix>.gram` [n_blocks][triangle] for each
/// input. The header is checked whole when it is opened; the matrices are read one at a time. Thread-safe.
class GramFile {
public:
    /// @throws Error (kMissing; kMalformed with every problem of names, types and shapes)
    explicit GramFile(const std::filesystem::path& path);

    const GramHeader& header() const { return header_; }
    /// @param matrix_name  GGUF name, of whichever matrix reads the input
    /// @returns nullptr where the file does not know it
    const GramInput* find(std::string_view matrix_name) const;
    /// Of what a matrix of the model reads; nullptr for vectors, for experts, and where the file does not know it.
    /// @throws Error (kMalformed) when it is of another width
    const GramInput* find(const ModelTensor& matrix) const;
    /// @param sha256  of the weights that the matrices are to be of; empty: not known
    /// @throws Error (kMalformed) when the file states another
    void require_model(std::string_view sha256) const;
    /// Reads one square of `input.block` channels, or a part of one, beginning at channel `first`.
    /// @param side  first and first + side − 1 lie in the same of the file's blocks
    /// @throws Error (kMalformed naming the place of a value that is not finite, or of a negative square; kIo)
    GramBlock read(const GramInput& input, std::int64_t first, std::int64_t side) const;
    /// All of an input, read on demand, in blocks of `side` channels, which divides input.block. This must outlive it.
    GramBlocks blocks(const GramInput& input, std::int64_t side) const;
    /// From now on as if the model's channels had been scaled.
    void scale_channels(std::shared_ptr<const ChannelScales> scales) { scales_ = std::move(scales); }
    /// After the last read. @throws Error (kIo)
    void require_unchanged() const { file_.file().require_unchanged(); }

private:
    GgufReader file_;
    GramHeader header_;
    std::shared_ptr<const ChannelScales> scales_;  ///< nullptr: none
};

/// Gram matrices, and the most memory that working with those of one input may take.
struct GramSource {
    const GramFile* file = nullptr;  ///< nullptr: none
    std::uint64_t most_bytes = 0;
};

/// Writes such a file, one input after the other; it appears on finish().
class GramWriter {
public:
    /// @throws Error (kUsage, kIo) as GgufWriter does, free space being checked first
    GramWriter(const std::filesystem::path& target, const GramHeader& header, Overwrite overwrite);

    /// The next input whole. @param packed  [packed_length] as stored
    /// @throws Error (kMalformed for sums that are not finite or beyond F32; kInternal; kIo)
    void write(const GramInput& input, std::span<const float> packed);
    void finish() { file_.finish(); }

private:
    GgufWriter file_;
};

/// Exactly what the finished file holds. @throws Error (kInternal) where no file can hold it
std::uint64_t gram_file_bytes(const GramHeader& header);

}  // namespace plasticity
