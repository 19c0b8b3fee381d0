#include "plan/alignment.h"

#include <gtest/gtest.h>

#include "plan/synthetic_model.h"

namespace plasticity {
namespace {

using test::shape;

TEST(PaddingFor, FillsWholeBlocksAndSpreadsHeadsEvenly) {
    const PaddedDimensions all{true, true, true};
    EXPECT_EQ(padding_for(all, shape({.n_embd = 896, .n_head = 14, .n_head_kv = 2, .n_ff = 4864})),
              (Padding{.width = 1024, .heads = 16}));
    EXPECT_EQ(padding_for(all, shape({.n_embd = 576, .n_head = 9, .n_head_kv = 3, .n_ff = 1500})),
              (Padding{.width = 768, .heads = 12, .feed_forward = 1536}));
    EXPECT_EQ(padding_for(all, shape({.n_embd = 3200, .n_head = 25, .n_head_kv = 5, .head_dim = 128, .n_ff = 8640})),
              (Padding{.width = 3328, .heads = 30, .feed_forward = 8704}));
    EXPECT_EQ(padding_for({}, shape({.n_embd = 896})), Padding{});
    EXPECT_EQ(padding_for({.heads = true}, shape({.n_embd = 896, .n_head = 14, .n_head_kv = 2})),
              (Padding{.heads = 16}));
}

TEST(PaddingFor, LeavesHeadsThatDifferBetweenBlocks) {
    Architecture pruned = shape({.n_embd = 896, .n_head = 14, .n_head_kv = 2});
    pruned.layers[1].n_head = 12;
    EXPECT_EQ(padding_for({true, true, true}, pruned), (Padding{.width = 1024}));
    pruned.layers.assign(2, {10, 2, 1024});
    pruned.layers[1] = {0, 0, 1024};
    EXPECT_EQ(padding_for({true, true, true}, pruned), (Padding{.width = 1024, .heads = 12}));
}

TEST(PaddingCandidates, AreTheSubsetsOfWhatBarsWideTypes) {
    const Architecture ragged = shape({.n_embd = 896, .n_head = 14, .n_head_kv = 2, .n_ff = 4800});
    EXPECT_EQ(padding_candidates(ragged, Align::kAuto).size(), 8u);
    EXPECT_EQ(padding_candidates(ragged, Align::kAuto).front(), PaddedDimensions{});
    EXPECT_EQ(padding_candidates(ragged, Align::kNone), std::vector{PaddedDimensions{}});
    EXPECT_EQ(padding_candidates(ragged, Align::kPad), (std::vector{PaddedDimensions{true, true, true}}));
    EXPECT_EQ(padding_candidates(shape(), Align::kAuto), std::vector{PaddedDimensions{}});
    EXPECT_EQ(padding_candidates(shape(), Align::kPad), std::vector{PaddedDimensions{}});
}

TEST(PaddingCandidates, LeaveOutWhatGrowsByMoreThanHalfUnlessAsked) {
    const Architecture tiny = shape({.n_embd = 64, .n_head = 8, .n_ff = 1024});
    EXPECT_EQ(padding_candidates(tiny, Align::kAuto), std::vector{PaddedDimensions{}});
    EXPECT_EQ(padding_candidates(tiny, Align::kPad), std::vector{PaddedDimensions{.width = true}});
}

TEST(PaddingCandidates, PadColumnsWhereThisProgramAloneMayRunTheOutput) {
    Architecture ragged = shape({.n_embd = 896, .n_head = 14, .n_head_kv = 2, .n_ff = 4800});
    EXPECT_EQ(padding_candidates(ragged, Align::kColumns), std::vector{PaddedDimensions{.columns = true}});
    EXPECT_EQ(padding_candidates(ragged, Align::kAutoOwn).size(), 9u);
    EXPECT_EQ(padding_candidates(ragged, Align::kAutoOwn).back(), PaddedDimensions{.columns = true});
    ragged.experts.count = 4;
    for (const PaddedDimensions& some : padding_candidates(ragged, Align::kAutoOwn)) EXPECT_FALSE(some.columns);
}

TEST(AlignmentFor, PadsColumnsOnlyOfRaggedRows) {
    const PaddedDimensions columns{.columns = true};
    EXPECT_TRUE(alignment_for(columns, shape({.n_embd = 896, .n_head = 16})).columns);
    EXPECT_TRUE(alignment_for(columns, shape({.n_head = 6})).columns);
    EXPECT_TRUE(alignment_for(columns, shape({.n_ff = 1000})).columns);
    EXPECT_FALSE(alignment_for(columns, shape()).columns);
    EXPECT_EQ(alignment_for({.width = true}, shape({.n_embd = 896})), (Alignment{{.width = 1024}, false}));
}

TEST(PaddedInputBytes, IsTheLongestRowThatIsNoWholeBlocks) {
    Architecture architecture = shape({.n_embd = 576, .n_head = 9, .n_head_kv = 3, .n_ff = 1536});
    EXPECT_EQ(padded_input_bytes(architecture, 100), 4u * 100 * 768);
    architecture.layers[1].n_ff = 1500;
    EXPECT_EQ(padded_input_bytes(architecture, 4096), 4u * 512 * 1536);
    EXPECT_EQ(padded_input_bytes(shape(), 4096), 0u);
}

TEST(PaddingCandidates, LeaveOutWhatStockWouldComputeOtherwise) {
    Architecture gemma = shape({.n_embd = 640, .n_head = 5, .n_head_kv = 1, .head_dim = 128, .n_ff = 2048});
    gemma.name = "gemma3";
    EXPECT_EQ(padding_candidates(gemma, Align::kPad), std::vector{PaddedDimensions{.heads = true}});
}

TEST(PaddedShape, WidensWhatTheDimensionsCount) {
    const Padding padding{.width = 1024, .heads = 16, .feed_forward = 5120};
    EXPECT_EQ(padded_shape({TensorRole::kQuery, 0}, {896, 896}, padding, 64), (TensorShape{1024, 1024}));
    EXPECT_EQ(padded_shape({TensorRole::kKey, 0}, {128, 896}, padding, 64), (TensorShape{128, 1024}));
    EXPECT_EQ(padded_shape({TensorRole::kDown, 0}, {896, 4864}, padding, 64), (TensorShape{1024, 5120}));
    EXPECT_EQ(padded_shape({TensorRole::kAttentionNorm, 0}, {1, 896}, padding, 64), (TensorShape{1, 1024}));
    EXPECT_EQ(padded_shape({TensorRole::kQuery, 0}, {0, 0}, padding, 64), (TensorShape{0, 0}));
}

}  // namespace
}  // namespace plasticity
