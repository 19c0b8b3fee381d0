#include "compress/gram_work.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "compress/tile_batch.h"

namespace plasticity {
namespace {

/// Sizes that models have, within the default of compress: what docs/pipeline.md says of them.
TEST(GramWork, LargeModelsFitTheDefault) {
    const std::uint64_t most = std::uint64_t{704} << 20;
    const auto feedback = [&](std::int64_t width, std::int64_t block) {
        return FeedbackFactor::block_for({.matrix = "", .width = width, .block = block}, width, most);
    };
    EXPECT_EQ(feedback(8192, 8192), 8192);    // the residual stream of a 70B
    EXPECT_EQ(feedback(28672, 14336), 7168);  // its feed-forward part
    EXPECT_EQ(feedback(18944, 9472), 9472);   // of a 7B
    EXPECT_EQ(feedback(16384, 16384), 8192);  // a 405B
    EXPECT_EQ(feedback(53248, 13312), 3328);
    EXPECT_LE(Compensation::building_bytes(8192, 8192), most);
}

class Batches : public testing::Test {
protected:
    GramNeed feedback_on(const GramInput& input, std::span<const std::int64_t> kept = {}) const {
        return {.input = &input, .kept = kept, .compensation = {}, .feedback = {.wanted = true, .block = 256}};
    }

    /// Number of tiles in each batch of two tiles a tensor.
    std::vector<std::size_t> sizes() {
        tiles_.clear();
        for (std::size_t tensor = 0; tensor < needs_.size(); ++tensor)
            for (const std::int64_t row : {0, 8}) tiles_.push_back({tensor, row, 8});
        batches_ = cut_into_batches(tiles_, needs_);
        std::vector<std::size_t> sizes;
        for (const TileBatch& batch : batches_) sizes.push_back(batch.tiles.size());
        return sizes;
    }

    GramInput q_{.matrix = "blk.0.attn_q.weight", .width = 512, .block = 512};
    GramInput o_{.matrix = "blk.0.attn_output.weight", .width = 512, .block = 512};
    std::vector<std::optional<GramNeed>> needs_;
    std::vector<Tile> tiles_;
    std::vector<TileBatch> batches_;
};

TEST_F(Batches, TensorsWithoutNeedsAreOne) {
    needs_.assign(3, std::nullopt);
    EXPECT_EQ(sizes(), (std::vector<std::size_t>{6}));
    EXPECT_FALSE(batches_[0].need.has_value());
    needs_.clear();
    EXPECT_TRUE(sizes().empty());
}

TEST_F(Batches, ThoseThatReadTheSameChannelsShareOne) {
    const std::vector<std::int64_t> kept{0, 1};
    needs_ = {std::nullopt,          feedback_on(q_), std::nullopt,   feedback_on(q_),
              feedback_on(o_, kept), std::nullopt,    feedback_on(o_)};
    EXPECT_EQ(sizes(), (std::vector<std::size_t>{8, 4, 2}));
    EXPECT_EQ(batches_[0].need->input, &q_);
    EXPECT_EQ(batches_[1].need->input, &o_);
    EXPECT_EQ(batches_[1].need->kept.size(), 2u);
    EXPECT_TRUE(batches_[2].need->kept.empty());
    std::vector<std::size_t> tensors;
    for (const TileBatch& batch : batches_)
        for (const Tile& tile : batch.tiles) tensors.push_back(tile.tensor);
    EXPECT_TRUE(std::ranges::is_sorted(tensors));
}

TEST_F(Batches, OneNeedsWhatAnyOfItsTensorsDoes) {
    GramNeed compensation = feedback_on(q_);
    compensation.feedback = {};
    compensation.compensation = {.wanted = true, .block = 128};
    needs_ = {feedback_on(q_), compensation};
    EXPECT_EQ(sizes(), (std::vector<std::size_t>{4}));
    EXPECT_EQ(batches_[0].need->feedback.block, 256);
    EXPECT_EQ(batches_[0].need->compensation.block, 128);
}

TEST_F(Batches, WhatIsLeftOutNeedsNothing) {
    GramNeed left_out = feedback_on(o_);
    left_out.feedback.block.reset();
    needs_ = {feedback_on(q_), left_out, feedback_on(q_)};
    EXPECT_EQ(sizes(), (std::vector<std::size_t>{6}));
}

}  // namespace
}  // namespace plasticity
