#include "engine/offload.h"

#include <gtest/gtest.h>

namespace plasticity {
namespace {

const OffloadSizes kSizes{.layers = {10, 20, 30, 40}, .output = 100, .working = 1000, .tied = true};

std::int32_t layers_for(std::uint64_t free_bytes, std::optional<std::int32_t> asked = std::nullopt) {
    return offloaded_layers(choose_offload(kSizes, free_bytes, asked), 4);
}

TEST(Offload, TakesAsManyOfTheLastLayersAsFitBesideTheWorkingMemory) {
    EXPECT_EQ(layers_for(0), 0);
    EXPECT_EQ(layers_for(1099), 0);
    EXPECT_EQ(layers_for(1100), 1);  // the output matrix
    EXPECT_EQ(layers_for(1139), 1);
    EXPECT_EQ(layers_for(1140), 2);
    EXPECT_EQ(layers_for(1170), 3);
    EXPECT_EQ(layers_for(1199), 4);
    EXPECT_EQ(layers_for(1200), 5);
    EXPECT_EQ(layers_for(1u << 30), 5);
}

TEST(Offload, TakesWhatWasAskedForWhateverIsFree) {
    EXPECT_EQ(layers_for(1u << 30, 0), 0);
    EXPECT_EQ(layers_for(0, 3), 3);
    EXPECT_EQ(layers_for(0, 99), 5);
}

TEST(Offload, PutsTheLastPartsOnTheDevice) {
    const Offload two = choose_offload(kSizes, 0, 2);
    EXPECT_EQ(two.layer(2), Place::kCpu);
    EXPECT_EQ(two.layer(3), Place::kDevice);
    EXPECT_EQ(two.of({TensorRole::kDown, 3}), Place::kDevice);
    EXPECT_EQ(two.of({TensorRole::kQuery, 2, true}), Place::kCpu);
    EXPECT_EQ(two.of({TensorRole::kOutput}), Place::kDevice);
    EXPECT_EQ(two.of({TensorRole::kOutputNorm}), Place::kDevice);
    EXPECT_EQ(two.of({TensorRole::kRopeFrequencies}), Place::kCpu);

    const Offload none = choose_offload(kSizes, 1u << 30, 0);
    EXPECT_EQ(none.layer(3), Place::kCpu);
    EXPECT_EQ(none.of({TensorRole::kOutput}), Place::kCpu);
}

/// A lookup is little work: only the matrix that is the output's too is worth a device's memory.
TEST(Offload, TakesTheEmbeddingOnlyWhereItIsTheOutputMatrix) {
    OffloadSizes untied = kSizes;
    untied.tied = false;
    EXPECT_EQ(choose_offload(kSizes, 0, 5).of({TensorRole::kTokenEmbedding}), Place::kDevice);
    EXPECT_EQ(choose_offload(untied, 0, 5).of({TensorRole::kTokenEmbedding}), Place::kCpu);
}

TEST(Offload, IsNothingByDefault) {
    const Offload nothing;
    EXPECT_EQ(nothing.layer(0), Place::kCpu);
    EXPECT_EQ(nothing.layer(1000), Place::kCpu);
    EXPECT_EQ(offloaded_layers(nothing, 4), 0);
}

}  // namespace
}  // namespace plasticity
