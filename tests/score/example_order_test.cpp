#include "score/example_order.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"

namespace plasticity {
namespace {

using Places = std::vector<std::size_t>;

TEST(ExampleOrder, OfPlainScoringIsTheSlice) {
    const ExampleOrder order = plain_order({.index = 2, .count = 3, .n_examples = 8});
    EXPECT_EQ(order.visits, (Places{2, 3, 4}));
    EXPECT_TRUE(order.held_out.empty());
    EXPECT_EQ(order.first_observed, 0u);
}

TEST(ExampleOrder, HoldsOutOneOfEveryFewAndKeepsFileOrder) {
    const ExampleOrder order = training_order(7, {.epochs = 2, .holdout_every = 3}, 1);
    EXPECT_EQ(order.held_out, (Places{2, 5}));
    EXPECT_EQ(order.visits, (Places{0, 1, 3, 4, 6, 0, 1, 3, 4, 6}));
    EXPECT_EQ(order.first_observed, 5u);
    EXPECT_EQ(order.n_epochs(), 2u);
    EXPECT_TRUE(order.is_end_of_epoch(4));
    EXPECT_FALSE(order.is_end_of_epoch(5));
    EXPECT_TRUE(training_order(7, {.holdout_every = 0}, 1).held_out.empty());
}

TEST(ExampleOrder, ShufflesEveryEpochAnewAndBySeedAlone) {
    const FineTuneOptions options{.epochs = 2, .holdout_every = 0, .shuffle = true};
    const ExampleOrder order = training_order(50, options, 1);
    EXPECT_EQ(order.visits, training_order(50, options, 1).visits);
    EXPECT_NE(order.visits, training_order(50, options, 2).visits);
    Places first(order.visits.begin(), order.visits.begin() + 50),
        second(order.visits.begin() + 50, order.visits.end());
    EXPECT_NE(first, second);
    for (Places* epoch : {&first, &second}) {
        EXPECT_FALSE(std::ranges::is_sorted(*epoch));
        std::ranges::sort(*epoch);
        for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ((*epoch)[i], i);
    }
}

TEST(ExampleOrder, NeedsSomethingToTrainOn) {
    try {
        training_order(3, {.holdout_every = 1}, 1);
        ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    }
}

}  // namespace
}  // namespace plasticity
