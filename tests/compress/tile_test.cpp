#include "compress/tile.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "support/temp_dir.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

using test::naive_values;

/// Rows 100·r + column, and a record of what was asked for.
class CountingModel : public Model {
public:
    CountingModel(std::int64_t rows, std::int64_t cols) {
        tensors_.push_back({.id = {TensorRole::kQuery, 0}, .name = "blk.0.attn_q.weight", .rows = rows, .cols = cols});
    }
    void read_rows(const ModelTensor& tensor, std::int64_t first_row, std::int64_t n_rows,
                   std::span<std::byte> out) const override {
        ASSERT_EQ(out.size(), static_cast<std::size_t>(n_rows) * tensor.row_bytes());
        ASSERT_LE(first_row + n_rows, tensor.rows);
        reads.emplace_back(first_row, n_rows);
        for (std::int64_t i = 0; i < n_rows * tensor.cols; ++i) {
            const auto value = static_cast<float>(100 * (first_row + i / tensor.cols) + i % tensor.cols);
            std::memcpy(out.data() + static_cast<std::size_t>(i) * sizeof value, &value, sizeof value);
        }
    }
    void require_unchanged() const override {}
    bool reads_from(const std::filesystem::path&) const override { return false; }

    mutable std::vector<std::pair<std::int64_t, std::int64_t>> reads;
};

OutputTensor output_of(const CountingModel& model, std::vector<std::int64_t> rows = {},
                       std::vector<std::int64_t> cols = {}) {
    return {.source = &model.tensors().front(), .spec = {}, .rows = std::move(rows), .cols = std::move(cols)};
}

std::vector<float> in_tiles(const CountingModel& model, const OutputTensor& tensor, std::uint64_t tile_bytes) {
    std::vector<float> values;
    TileScratch scratch;
    for (const Tile& tile : cut_into_tiles({tensor}, tile_bytes)) {
        const auto rows = read_tile_f32(model, tensor, tile, scratch);
        values.insert(values.end(), rows.begin(), rows.end());
    }
    return values;
}

TEST(CutIntoTiles, CoversEveryRowOnceWithinTheBound) {
    const CountingModel model(10, 4);
    const std::vector<OutputTensor> tensors{output_of(model), output_of(model, {1, 3, 5, 7, 9})};
    for (const std::uint64_t rows_per_tile : {1, 3, 5, 10, 99}) {
        std::map<std::size_t, std::int64_t> next;
        for (const Tile& tile : cut_into_tiles(tensors, rows_per_tile * 4 * sizeof(float))) {
            EXPECT_EQ(tile.first_row, next[tile.tensor]);
            EXPECT_LE(tile.n_rows, static_cast<std::int64_t>(rows_per_tile));
            EXPECT_GE(tile.n_rows, 1);
            next[tile.tensor] += tile.n_rows;
        }
        EXPECT_EQ(next, (std::map<std::size_t, std::int64_t>{{0, 10}, {1, 5}}));
    }
    EXPECT_EQ(cut_into_tiles(tensors, 1).size(), 15u) << "a row longer than the bound is a tile of its own";
}

TEST(ReadTile, SlicesAsTheNaiveLoopDoesWhereverTilesEnd) {
    const CountingModel model(12, 6);
    const std::vector<std::vector<std::int64_t>> row_lists{
        {}, {0, 1, 2, 3}, {8, 9, 10, 11, 0, 1}, {0, 2, 1, 3, 8, 10, 9, 11}, {0, 1, kZeros, kZeros, 2, 3, kZeros}};
    const std::vector<std::vector<std::int64_t>> col_lists{
        {}, {0, 1, 4, 5}, {5, 3, 0}, {0, 1, 2, kZeros, 3, 4, 5, kZeros}};
    for (const auto& rows : row_lists)
        for (const auto& cols : col_lists) {
            const OutputTensor tensor = output_of(model, rows, cols);
            for (std::uint64_t n = 1; n <= 13; ++n)
                EXPECT_EQ(in_tiles(model, tensor, n * 6 * sizeof(float)), naive_values(model, tensor));
        }
}

TEST(ReadTile, ReadsNeighboursTogetherEvenWhenTheLayoutInterleavesThem) {
    const CountingModel model(16, 2);
    const OutputTensor interleaved = output_of(model, {0, 4, 1, 5, 2, 6, 3, 7, 12, 13, 14, 15});
    TileScratch scratch;
    read_tile_f32(model, interleaved, {0, 0, 12}, scratch);
    EXPECT_EQ(model.reads, (std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 8}, {12, 4}}));
}

TEST(ReadTile, StoredBytesFollowTheSameRows) {
    const CountingModel model(8, 3);
    const OutputTensor tensor = output_of(model, {0, 2, 1, 3, 6, 7});
    std::vector<std::byte> stored;
    for (const Tile tile : {Tile{0, 0, 6}, Tile{0, 2, 3}}) {
        read_tile_stored(model, tensor, tile, stored);
        const auto expected = naive_values(model, tensor);
        ASSERT_EQ(stored.size(), static_cast<std::size_t>(tile.n_rows) * 3 * sizeof(float));
        EXPECT_EQ(std::memcmp(stored.data(), expected.data() + tile.first_row * 3, stored.size()), 0);
    }
}

TEST(ReadTile, ScalesWhatTheLayoutScales) {
    const CountingModel model(3, 4);
    OutputTensor tensor = output_of(model, {}, {0, 1, 2, 3, kZeros});
    tensor.scale = 0.5f;
    EXPECT_EQ(in_tiles(model, tensor, 64), naive_values(model, tensor));
}

TEST(ReadTile, StoredBytesArePaddedWithZeroBlocks) {
    const CountingModel model(4, 3);
    const OutputTensor tensor = output_of(model, {0, 1, kZeros, 3, 2}, {0, kZeros, 1, 2, kZeros});
    ASSERT_TRUE(keeps_stored_blocks(tensor));
    const auto expected = naive_values(model, tensor);
    std::vector<std::byte> stored;
    read_tile_stored(model, tensor, {0, 1, 4}, stored);
    ASSERT_EQ(stored.size(), 4u * 5 * sizeof(float));
    EXPECT_EQ(std::memcmp(stored.data(), expected.data() + 5, stored.size()), 0);
}

TEST(KeepsStoredBlocks, WantsWholeBlocksAllColumnsAndTheSameType) {
    const CountingModel model(1, 64);
    std::vector<std::int64_t> apart, together;  // zeros in the middle of a block, and as a block
    for (std::int64_t col = 0; col < 64; ++col) {
        if (col == 16 || col == 48) apart.insert(apart.end(), 16, kZeros);
        if (col == 32) together.insert(together.end(), 32, kZeros);
        apart.push_back(col);
        together.push_back(col);
    }
    ModelTensor blocks = model.tensors().front();
    blocks.type = GGML_TYPE_Q8_0;
    OutputTensor tensor{.source = &blocks, .spec = {.type = GGML_TYPE_Q8_0}, .rows = {}, .cols = {}};
    EXPECT_TRUE(keeps_stored_blocks(tensor));
    tensor.cols = together;
    EXPECT_TRUE(keeps_stored_blocks(tensor));
    tensor.cols = apart;
    EXPECT_FALSE(keeps_stored_blocks(tensor));
    tensor.cols.assign(together.begin(), together.begin() + 32);
    EXPECT_FALSE(keeps_stored_blocks(tensor)) << "columns are lost";
    tensor.cols = together;
    tensor.scale = 0.5f;
    EXPECT_FALSE(keeps_stored_blocks(tensor));
    tensor.scale = 1;
    tensor.spec.type = GGML_TYPE_Q4_0;
    EXPECT_FALSE(keeps_stored_blocks(tensor));
}

/// A row of 40 in blocks of 32 is stored as 64: the last block holds 8 columns and 24 zeros.
TEST(KeepsStoredBlocks, TakesTheSourcesOwnPaddedColumnsAsTheyAre) {
    const CountingModel model(1, 40);
    ModelTensor padded = model.tensors().front();
    padded.type = GGML_TYPE_Q8_0;
    padded.padded_cols = 64;
    std::vector<std::int64_t> cols;
    for (std::int64_t col = 0; col < 64; ++col) cols.push_back(col < 40 ? col : kZeros);
    OutputTensor tensor{.source = &padded, .spec = {.type = GGML_TYPE_Q8_0}, .rows = {}, .cols = {}};
    tensor.cols = cols;
    EXPECT_TRUE(keeps_stored_blocks(tensor));
    tensor.cols.resize(96, kZeros);
    EXPECT_TRUE(keeps_stored_blocks(tensor)) << "and a block of zeros";
    padded.padded_cols = 0;
    EXPECT_FALSE(keeps_stored_blocks(tensor)) << "nothing stored is there for the second block";
    padded.padded_cols = 64;
    tensor.cols = cols;
    std::swap(tensor.cols[35], tensor.cols[45]);
    EXPECT_FALSE(keeps_stored_blocks(tensor));
}

TEST(TilesFrom, LeavesOutWhatIsBeforeAndCutsWhatItIsIn) {
    const std::vector<Tile> tiles{{0, 0, 4}, {0, 4, 2}, {1, 0, 4}, {1, 4, 4}, {2, 0, 1}};
    const auto from = [&](std::size_t tensor, std::int64_t row) {
        std::vector<std::vector<std::int64_t>> rest;
        for (const Tile& tile : tiles_from(tiles, {.tensor = tensor, .first_row = row}))
            rest.push_back({static_cast<std::int64_t>(tile.tensor), tile.first_row, tile.n_rows});
        return rest;
    };
    using Rest = std::vector<std::vector<std::int64_t>>;
    EXPECT_EQ(from(0, 0), (Rest{{0, 0, 4}, {0, 4, 2}, {1, 0, 4}, {1, 4, 4}, {2, 0, 1}}));
    EXPECT_EQ(from(0, 4), (Rest{{0, 4, 2}, {1, 0, 4}, {1, 4, 4}, {2, 0, 1}}));
    EXPECT_EQ(from(1, 3), (Rest{{1, 3, 1}, {1, 4, 4}, {2, 0, 1}}));
    EXPECT_EQ(from(1, 7), (Rest{{1, 7, 1}, {2, 0, 1}}));
    EXPECT_EQ(from(2, 0), (Rest{{2, 0, 1}}));
    EXPECT_EQ(from(3, 0), Rest{});
}

}  // namespace
}  // namespace plasticity
