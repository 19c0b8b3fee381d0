#include "plan/trial_log.h"

#include <gtest/gtest.h>

#include "io/atomic_file.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

const TrialOutcome kGain{"attn_v counts × 1.5", true, -0.002, 0.001}, kLoss{"block 3 counts × 0.667", false, 0.1, 0.02};

class Log : public testing::Test {
protected:
    void SetUp() override {
        TrialLog log(path_, "run");
        log.set_calibration({.positions = 10, .ceiling = 1, .rate = 2, .corners = {{"the plan", 0.5, 0.4, 0.01}}});
        log.add(kGain);
        log.add(kLoss);
    }

    test::TempDir dir_;
    std::filesystem::path path_ = dir_ / "recipe.json.checkpoint";
};

TEST_F(Log, HoldsWhatCameOut) {
    TrialLog again(path_, "run");
    EXPECT_TRUE(again.outcomes().empty());
    ASSERT_TRUE(again.load());
    EXPECT_EQ(again.outcomes(), (std::vector{kGain, kLoss}));
    ASSERT_TRUE(again.calibration());
    EXPECT_EQ(again.calibration()->corners.front().plan, "the plan");
    again.cut(1);
    again.add(kGain);
    TrialLog third(path_, "run");
    ASSERT_TRUE(third.load());
    EXPECT_EQ(third.outcomes(), (std::vector{kGain, kGain}));
}

TEST_F(Log, CountsForNothingUnderAnotherKeyOrWhenDamaged) {
    TrialLog other(path_, "another run");
    EXPECT_FALSE(other.load());
    EXPECT_TRUE(other.outcomes().empty());
    const std::string text = read_text_file(path_);
    for (const std::size_t length : {text.size() / 2, std::size_t{1}, std::size_t{0}}) {
        write_text_file(path_, text.substr(0, length), Overwrite::kReplace);
        TrialLog damaged(path_, "run");
        EXPECT_FALSE(damaged.load()) << length;
        EXPECT_TRUE(damaged.outcomes().empty());
    }
}

TEST(LogOfNothing, KeepsNothing) {
    TrialLog log(std::nullopt, "run");
    EXPECT_FALSE(log.load());
    log.add(kGain);
    EXPECT_EQ(log.outcomes().size(), 1u);
}

}  // namespace
}  // namespace plasticity
