// A matrix product after Goto & van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication": a panel of the
// matrix is laid out so that it is read in order, stays in the second-level cache, and meets all tokens there; a tile
// of the result stays in registers. Pairs of columns are one word, as vdpbf16ps multiplies them; the version of Highway
// that systems ship has no name for that instruction.

#include "engine/bf16_product.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

namespace plasticity {

#if defined(__x86_64__) && defined(__GNUC__)

namespace {

constexpr std::int64_t kLanes = 16;   ///< words of a register
constexpr std::int64_t kGroups = 3;   ///< registers that a panel's rows fill
constexpr std::int64_t kTokens = 8;   ///< of a tile: 24 registers hold its sums
constexpr std::int64_t kDepth = 512;  ///< words of a row that a panel holds
constexpr std::int64_t kPanelRows = kGroups * kLanes;
constexpr std::int64_t kHalfBytes = sizeof(ggml_bf16_t);

using Word = std::uint32_t;  ///< two BF16
using Words [[gnu::vector_size(64)]] = Word;
using Halves [[gnu::vector_size(32)]] = std::uint16_t;
using Floats [[gnu::vector_size(64)]] = float;
using Panel = std::array<Word, kPanelRows * kDepth>;

const std::byte* row_of(const ggml_tensor* tensor, std::int64_t row, std::int64_t word) {
    return static_cast<const std::byte*>(tensor->data) + static_cast<std::size_t>(row) * tensor->nb[1] +
           static_cast<std::size_t>(word) * sizeof(Word);
}

/// The first n of 16 numbers that lie anywhere, the others 0.
template <typename Register>
[[gnu::target("avx512f")]] Register first_of(const void* data, std::int64_t n) {
    Register value{};
    if (n == kLanes)
        std::memcpy(&value, data, sizeof value);
    else
        std::memcpy(&value, data, static_cast<std::size_t>(n) * sizeof value[0]);
    return value;
}

[[gnu::target("avx512f")]] void put_first(float* data, std::int64_t n, Floats value) {
    if (n == kLanes)
        std::memcpy(data, &value, sizeof value);
    else
        std::memcpy(data, &value, static_cast<std::size_t>(n) * sizeof(float));
}

/// 16 rows of 16 words, row by row → word by word, each `kPanelRows` behind the one before.
[[gnu::target("avx512f")]] void transpose_words(const Words* rows, Word* target) {
    Words pairs[kLanes], quads[kLanes];
    for (int i = 0; i < kLanes; i += 2) {
        pairs[i] =
            __builtin_shufflevector(rows[i], rows[i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
        pairs[i + 1] =
            __builtin_shufflevector(rows[i], rows[i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    }
    for (int i = 0; i < kLanes; i += 4)
        for (int half = 0; half < 2; ++half) {
            const Words a = pairs[i + half], b = pairs[i + 2 + half];
            quads[i + 2 * half] =
                __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
            quads[i + 2 * half + 1] =
                __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
        }
    for (int j = 0; j < 4; ++j) {  // a quarter of quads[4 i + j] is four rows of word j, 4 + j, 8 + j or 12 + j
        const Words a = quads[j], b = quads[4 + j], c = quads[8 + j], d = quads[12 + j];
        const Words even_ab = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        const Words even_cd = __builtin_shufflevector(c, d, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        const Words odd_ab = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
        const Words odd_cd = __builtin_shufflevector(c, d, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
        const Words words[] = {
            __builtin_shufflevector(even_ab, even_cd, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27),
            __builtin_shufflevector(odd_ab, odd_cd, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27),
            __builtin_shufflevector(even_ab, even_cd, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31),
            __builtin_shufflevector(odd_ab, odd_cd, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)};
        for (int quarter = 0; quarter < 4; ++quarter)
            std::memcpy(target + (4 * quarter + j) * kPanelRows, &words[quarter], sizeof(Words));
    }
}

/// Words [first, first + n) of up to 48 rows, word by word; rows behind the matrix are 0.
[[gnu::target("avx512f")]] void fill_panel(const ggml_tensor* matrix, std::int64_t first_row, std::int64_t first,
                                           std::int64_t n, Panel& panel) {
    for (std::int64_t group = 0; group < kGroups; ++group)
        for (std::int64_t word = 0; word < n; word += kLanes) {
            Words rows[kLanes] = {};
            for (std::int64_t lane = 0; lane < kLanes; ++lane) {
                const std::int64_t row = first_row + group * kLanes + lane;
                if (row < matrix->ne[1])
                    rows[lane] = first_of<Words>(row_of(matrix, row, first + word), std::min(kLanes, n - word));
            }
            transpose_words(rows, panel.data() + word * kPanelRows + group * kLanes);
        }
}

/// The same of the transpose: pairs of rows [2 · first, 2 · (first + n)), 48 columns. Behind the last row are zeros.
[[gnu::target("avx512f")]] void fill_panel_across(const ggml_tensor* matrix, std::int64_t first_column,
                                                  std::int64_t first, std::int64_t n, Panel& panel) {
    const std::int64_t n_rows = matrix->ne[1];
    for (std::int64_t word = 0; word < n; ++word) {
        const std::int64_t row = 2 * (first + word);
        for (std::int64_t group = 0; group < kGroups; ++group) {
            const std::int64_t column = first_column + group * kLanes;
            const std::int64_t left = std::clamp(matrix->ne[0] - column, std::int64_t{0}, kLanes);
            const auto halves = [&](std::int64_t at) { return row_of(matrix, at, 0) + column * kHalfBytes; };
            const Halves low = first_of<Halves>(halves(row), left);
            const Halves high = row + 1 < n_rows ? first_of<Halves>(halves(row + 1), left) : Halves{};
            const Words pairs = __builtin_convertvector(low, Words) | __builtin_convertvector(high, Words) << 16;
            std::memcpy(panel.data() + word * kPanelRows + group * kLanes, &pairs, sizeof pairs);
        }
    }
}

/// Where a tile of the result lies.
struct Tile {
    float* data;
    std::int64_t stride;                      ///< to the next token
    std::array<std::int64_t, kGroups> lanes;  ///< of every register, that there are rows for
    bool adds;                                ///< to what lies there
};

/// Up to 48 rows of n tokens. @param x  their words, `x_stride` bytes from token to token
template <int n>
[[gnu::target("avx512f,avx512bf16")]] void multiply_tile(const Panel& panel, std::int64_t n_words, const std::byte* x,
                                                         std::size_t x_stride, const Tile& tile) {
    Floats sums[n][kGroups] = {};
    if (tile.adds)
#pragma GCC unroll 8
        for (int token = 0; token < n; ++token)
#pragma GCC unroll 3
            for (int group = 0; group < kGroups; ++group)
                sums[token][group] = first_of<Floats>(tile.data + token * tile.stride + group * kLanes,
                                                      tile.lanes[static_cast<std::size_t>(group)]);
    for (std::int64_t word = 0; word < n_words; ++word) {
        Words rows[kGroups];
#pragma GCC unroll 3
        for (int group = 0; group < kGroups; ++group)
            rows[group] = first_of<Words>(panel.data() + word * kPanelRows + group * kLanes, kLanes);
#pragma GCC unroll 8
        for (int token = 0; token < n; ++token) {
            Word pair = 0;
            std::memcpy(&pair,
                        x + static_cast<std::size_t>(token) * x_stride + static_cast<std::size_t>(word) * sizeof pair,
                        sizeof pair);
            const Words factor = Words{} + pair;
#pragma GCC unroll 3
            for (int group = 0; group < kGroups; ++group)
                sums[token][group] = _mm512_dpbf16_ps(sums[token][group], (__m512bh)factor, (__m512bh)rows[group]);
        }
    }
#pragma GCC unroll 8
    for (int token = 0; token < n; ++token)
#pragma GCC unroll 3
        for (int group = 0; group < kGroups; ++group)
            put_first(tile.data + token * tile.stride + group * kLanes, tile.lanes[static_cast<std::size_t>(group)],
                      sums[token][group]);
}

using MultiplyTile = void (*)(const Panel&, std::int64_t, const std::byte*, std::size_t, const Tile&);
constexpr std::array<MultiplyTile, kTokens> kMultiplyTile{multiply_tile<1>, multiply_tile<2>, multiply_tile<3>,
                                                          multiply_tile<4>, multiply_tile<5>, multiply_tile<6>,
                                                          multiply_tile<7>, multiply_tile<8>};

using FillPanel = void (*)(const ggml_tensor*, std::int64_t, std::int64_t, std::int64_t, Panel&);

/// Rows [first_row, first_row + 48) of tokens [from, to).
template <FillPanel fill>
void multiply_panel(ggml_tensor* y, std::int64_t first_row, std::int64_t from, std::int64_t to) {
    const ggml_tensor *matrix = y->src[0], *x = y->src[1];
    alignas(64) Panel panel;
    Tile tile{.data = nullptr, .stride = y->ne[0], .lanes = {}, .adds = false};
    for (std::int64_t group = 0; group < kGroups; ++group) {
        const std::int64_t left = y->ne[0] - first_row - group * kLanes;
        tile.lanes[static_cast<std::size_t>(group)] = std::clamp(left, std::int64_t{0}, kLanes);
    }
    const std::int64_t n_words = x->ne[0] / 2;
    for (std::int64_t word = 0; word < n_words; word += kDepth) {
        const std::int64_t depth = std::min(kDepth, n_words - word);
        fill(matrix, first_row, word, depth, panel);
        for (std::int64_t token = from; token < to; token += kTokens) {
            tile.data = static_cast<float*>(y->data) + token * y->ne[0] + first_row;
            const auto n = static_cast<std::size_t>(std::min(kTokens, to - token));
            kMultiplyTile[n - 1](panel, depth, row_of(x, token, word), x->nb[1], tile);
        }
        tile.adds = true;
    }
}

/// ggml_custom_op_t: every thread takes as many tiles as any other, one panel after the other.
template <FillPanel fill>
void multiply(ggml_tensor* y, int thread, int n_threads, void*) {
    const std::int64_t n_panels = (y->ne[0] + kPanelRows - 1) / kPanelRows;
    const std::int64_t per_panel = (y->ne[1] + kTokens - 1) / kTokens, n_tiles = n_panels * per_panel;
    const std::int64_t last = n_tiles * (thread + 1) / n_threads;
    for (std::int64_t tile = n_tiles * thread / n_threads; tile < last;) {
        const std::int64_t panel = tile / per_panel, from = tile % per_panel;
        const std::int64_t to = std::min(per_panel, from + last - tile);
        multiply_panel<fill>(y, panel * kPanelRows, from * kTokens, std::min(y->ne[1], to * kTokens));
        tile += to - from;
    }
}

}  // namespace

bool multiplies_bf16() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16");
}

ggml_tensor* build_bf16_product(ggml_context* context, ggml_tensor* matrix, ggml_tensor* x) {
    ggml_tensor* operands[] = {matrix, ggml_cast(context, x, GGML_TYPE_BF16)};
    return ggml_custom_4d(context, GGML_TYPE_F32, matrix->ne[1], x->ne[1], 1, 1, operands, 2, multiply<fill_panel>,
                          GGML_N_TASKS_MAX, nullptr);
}

ggml_tensor* build_bf16_product_back(ggml_context* context, ggml_tensor* matrix, ggml_tensor* gradient) {
    if (gradient->ne[0] % 2 != 0) gradient = ggml_pad(context, gradient, 1, 0, 0, 0);
    ggml_tensor* operands[] = {matrix, ggml_cast(context, gradient, GGML_TYPE_BF16)};
    return ggml_custom_4d(context, GGML_TYPE_F32, matrix->ne[0], gradient->ne[1], 1, 1, operands, 2,
                          multiply<fill_panel_across>, GGML_N_TASKS_MAX, nullptr);
}

#else

bool multiplies_bf16() {
    return false;
}

ggml_tensor* build_bf16_product(ggml_context*, ggml_tensor*, ggml_tensor*) {
    return nullptr;
}
ggml_tensor* build_bf16_product_back(ggml_context*, ggml_tensor*, ggml_tensor*) {
    return nullptr;
}

#endif

}  // namespace plasticity
