#include "plan/memory.h"

#include <gtest/gtest.h>

namespace plasticity {
namespace {

TEST(ComputeBytes, CountsTheWidestBlockOnce) {
    Architecture architecture;
    architecture.n_embd = 10;
    architecture.n_vocab = 100;
    architecture.head_dim = 2;
    architecture.layers = {{4, 2, 5}, {0, 0, 5}};
    // context 8: batch 8; attention 2·4·2 + 2·2·2 + 4·8 + 8 = 64 beats 3·5; 4 B · (8 · (20 + 64) + 100)
    EXPECT_EQ(compute_bytes(architecture, 8), 4u * (8 * 84 + 100));
    architecture.layers[1].n_ff = 30;
    EXPECT_EQ(compute_bytes(architecture, 8), 4u * (8 * (20 + 90) + 100));
}

TEST(ComputeBytes, BatchesAtMost512Tokens) {
    Architecture architecture;
    architecture.n_embd = 10;
    architecture.layers = {{0, 0, 5}};
    EXPECT_EQ(compute_bytes(architecture, 4096), 4u * 512 * 35);
}

}  // namespace
}  // namespace plasticity
