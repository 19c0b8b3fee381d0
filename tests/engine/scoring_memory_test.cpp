#include "engine/scoring_memory.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

class MemoryOfScoring : public testing::Test {
protected:
    ScoringMemory plan(std::optional<std::uint64_t> limit, std::uint64_t reserved = 0) const {
        return plan_scoring_memory(*model_, {}, {.longest_example = 64, .limit = limit, .reserved = reserved});
    }
    static std::uint64_t all_of(const ScoringMemory& memory) {
        return memory.working + memory.weights + 64 * memory.stash_per_token;
    }

    test::TempDir dir_;
    std::unique_ptr<Model> model_ =
        open_model(test::write_tiny_gguf(dir_ / "tiny.gguf", {.n_layer = 3, .tied = false}));
};

TEST_F(MemoryOfScoring, HoldsAllWeightsInBothOrdersWhereTheyFit) {
    const ScoringMemory free = plan({});
    EXPECT_FALSE(free.streamed);
    std::uint64_t bytes = 0;
    for (const ModelTensor& tensor : model_->tensors()) {
        const bool once = tensor.is_vector || tensor.id.role == TensorRole::kTokenEmbedding;
        bytes += static_cast<std::uint64_t>(tensor.rows * tensor.cols) * (tensor.is_vector ? 4 : 2) * (once ? 1 : 2);
    }
    EXPECT_EQ(free.weights, bytes);
    EXPECT_FALSE(plan(all_of(free)).streamed);
    EXPECT_FALSE(plan(all_of(free) + 1000, 1000).streamed);
}

TEST_F(MemoryOfScoring, KeepsActivationsOfAllBlocksWhereTheyFit) {
    const ScoringMemory free = plan({});
    EXPECT_GT(free.activations, 0u);
    EXPECT_EQ(plan(all_of(free) + free.activations).activations, free.activations);
    EXPECT_EQ(plan(all_of(free) + free.activations - 1).activations, 0u);
    EXPECT_EQ(plan(all_of(free) - 1).activations, 0u);
}

TEST_F(MemoryOfScoring, StreamsThePartsWhereTheyDoNot) {
    const ScoringMemory free = plan({});
    for (const std::uint64_t reserved : {0u, 1000u}) {
        const std::uint64_t limit = all_of(free) - 1 + reserved;
        const ScoringMemory memory = plan(limit, reserved);
        EXPECT_TRUE(memory.streamed);
        EXPECT_LT(memory.weights, free.weights / 2);
        EXPECT_EQ(memory.weights + memory.working + memory.stash + reserved, limit);
        EXPECT_GE(memory.tokens_at_once, 64);
    }
}

TEST_F(MemoryOfScoring, NamesTheFewestBytesThatWouldDo) {
    const ScoringMemory free = plan({}), streamed = plan(all_of(free) - 1);
    const std::uint64_t fewest = streamed.working + streamed.weights;
    EXPECT_EQ(plan(fewest).stash, 0u);
    try {
        plan(fewest - 1);
        ADD_FAILURE() << "fits";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kInfeasible);
        EXPECT_NE(std::string_view(error.what()).find("--memory"), std::string_view::npos) << error.what();
    }
}

TEST_F(MemoryOfScoring, CountsNothingThatADeviceHolds) {
    const Offload all{.first_layer = 0, .output = true};
    const ScoringMemory memory = plan_scoring_memory(*model_, all, {.longest_example = 64});
    const ModelTensor& embedding = model_->require({TensorRole::kTokenEmbedding});
    EXPECT_EQ(memory.weights, static_cast<std::uint64_t>(embedding.rows * embedding.cols) * 2);
}

}  // namespace
}  // namespace plasticity
