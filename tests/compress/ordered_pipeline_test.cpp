#include "compress/ordered_pipeline.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace plasticity {
namespace {

class Shapes : public testing::TestWithParam<PipelineShape> {};

TEST_P(Shapes, HandsOverEveryUnitOnceAndInOrder) {
    const PipelineShape shape = GetParam();
    std::vector<std::size_t> slots(shape.slots), consumed;
    run_ordered_pipeline(
        shape, [&](const PipelineItem& item) { slots[item.slot] = item.index * item.index; },
        [&](const PipelineItem& item) {
            EXPECT_EQ(slots[item.slot], item.index * item.index);
            consumed.push_back(item.index);
        });
    ASSERT_EQ(consumed.size(), shape.count);
    for (std::size_t i = 0; i < consumed.size(); ++i) EXPECT_EQ(consumed[i], i);
}

INSTANTIATE_TEST_SUITE_P(OrderedPipeline, Shapes,
                         testing::Values(PipelineShape{0, 2, 2}, PipelineShape{1, 4, 8}, PipelineShape{1000, 1, 1},
                                         PipelineShape{1000, 1, 3}, PipelineShape{1000, 4, 1},
                                         PipelineShape{1000, 4, 8}));

TEST(OrderedPipeline, NeverHoldsMoreThanItsSlots) {
    std::atomic<int> held = 0, most = 0;
    const auto produce = [&](const PipelineItem&) {
        const int now = ++held;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
    };
    run_ordered_pipeline({.count = 500, .workers = 4, .slots = 3}, produce, [&](const PipelineItem&) { --held; });
    EXPECT_LE(most, 3);
    EXPECT_EQ(held, 0);
}

TEST(OrderedPipeline, ReportsTheFirstFailureAfterAllThatCameBefore) {
    for (int repeat = 0; repeat < 20; ++repeat) {
        std::size_t consumed = 0;
        const auto produce = [](const PipelineItem& item) {
            if (item.index >= 37) throw std::runtime_error(std::to_string(item.index));
        };
        try {
            run_ordered_pipeline({.count = 100, .workers = 4, .slots = 8}, produce,
                                 [&](const PipelineItem&) { ++consumed; });
            FAIL() << "nothing was thrown";
        } catch (const std::runtime_error& error) {
            EXPECT_STREQ(error.what(), "37");
        }
        EXPECT_EQ(consumed, 37u);
    }
}

TEST(OrderedPipeline, StopsWhenTheConsumerGivesUp) {
    std::atomic<std::size_t> produced = 0;
    const auto consume = [](const PipelineItem& item) {
        if (item.index == 5) throw std::runtime_error("disk full");
    };
    EXPECT_THROW(run_ordered_pipeline(
                     {.count = 100000, .workers = 3, .slots = 4}, [&](const PipelineItem&) { ++produced; }, consume),
                 std::runtime_error);
    EXPECT_LE(produced, 5 + 4 + 3u);
}

}  // namespace
}  // namespace plasticity
