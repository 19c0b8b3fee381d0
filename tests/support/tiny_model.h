#pragma once

// Tiny random models for tests, written through io/gguf_writer; open_model and stock llama.cpp both load them.
//
//     TempDir dir;
//     const auto path = write_tiny_gguf(dir / "tiny.gguf");                                  // llama, 2 blocks
//     write_tiny_gguf(dir / "q.gguf", {.architecture = "qwen2", .n_layer = 3, .tied = false});
//     write_tiny_gguf(dir / "d.gguf", {.architecture = "deci", .layers = {{4, 2, 48}, {2, 1, 64}, {0, 0, 32}}});
//
// The weights depend on the options and the tensor's name only, never on the order in which they are asked for, so a
// test can compare any of them with tiny_weights(). The vocabulary is the 256 bytes, a few merges and ChatML's tokens
// (kTinyVocabulary entries): any text tokenises. To make a malformed file, take tiny_layout(), spoil it, and hand it to
// write_tiny_layout().

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/gguf_writer.h"
#include "model/architecture.h"
#include "model/model.h"

namespace plasticity::test {

inline constexpr std::int32_t kTinyVocabulary = 264;
inline constexpr std::int32_t kTinyEndOfText = 261;   ///< also bos and padding
inline constexpr std::int32_t kTinyMessageEnd = 263;  ///< <|im_end|>, eos

struct TinyModelOptions {
    std::string architecture = "llama";  ///< llama, qwen2 or deci
    std::int32_t n_layer = 2;
    std::int32_t n_embd = 32;
    std::int32_t n_head = 4;
    std::int32_t n_head_kv = 2;
    std::int32_t head_dim = 8;
    std::int32_t n_ff = 48;
    std::vector<LayerGeometry> layers;  ///< deci: a geometry for each block, instead of the four counts above
    std::int32_t context_length = 256;
    bool tied = true;     ///< no output.weight
    int qkv_biases = -1;  ///< 1 with, 0 without, -1 as the architecture has them (qwen2: with)
    std::uint32_t seed = 1;
    ggml_type matrix_type = GGML_TYPE_F32;  ///< of two-dimensional weights; widths must be multiples of its block
};

Architecture tiny_architecture(const TinyModelOptions& options = {});

/// `tokenizer.*` keys of a byte-level BPE with kTinyVocabulary tokens.
GgufMetadata tiny_tokenizer(std::string_view pre = "smollm");

/// Header of the file that write_tiny_gguf() writes.
GgufLayout tiny_layout(const TinyModelOptions& options = {});

/// Row-major values of one tensor before any quantisation: norms near 1, biases small, matrices of unit gain.
std::vector<float> tiny_weights(const GgufTensorSpec& tensor, std::uint32_t seed);

/// Numbers in [-1, 1) that follow from `name` alone.
std::vector<float> uniform_stream(std::string_view name, std::size_t count);

/// @returns path
std::filesystem::path write_tiny_layout(const std::filesystem::path& path, const GgufLayout& layout,
                                        std::uint32_t seed = 1);
std::filesystem::path write_tiny_gguf(const std::filesystem::path& path, const TinyModelOptions& options = {});

/// A whole tensor of an opened model as F32, row-major.
std::vector<float> all_values(const Model& model, const TensorId& id);

}  // namespace plasticity::test
