#include "artifact/thresholds.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

class ThresholdsFile : public testing::Test {
protected:
    Thresholds load(const std::string& text) const {
        std::ofstream(path_) << text;
        return load_thresholds(path_);
    }
    void expect_refused(const std::string& text, const std::string& reason) const {
        test::expect_error(ErrorKind::kMalformed, {reason}, [&] { load(text); });
    }

    test::TempDir dir_;
    std::filesystem::path path_ = dir_ / "thresholds.json";
};

TEST_F(ThresholdsFile, WhatItDoesNotNameKeepsItsDefault) {
    const Thresholds given = load(R"({"schemaVersion": 1, "maxMeanKl": 0.05, "maxRepetition": 0.2})");
    EXPECT_EQ(given.max_mean_kl, 0.05);
    EXPECT_EQ(given.max_repetition, 0.2);
    EXPECT_FALSE(given.min_top1_agreement);
    EXPECT_EQ(given.max_output_perplexity, Thresholds().max_output_perplexity);
    EXPECT_TRUE(given.needs_base());
    EXPECT_FALSE(load(R"({"schemaVersion": 1})").needs_base());
}

TEST_F(ThresholdsFile, RefusesEveryKindOfDamage) {
    expect_refused(R"({"schemaVersion": 1, "maxMeanKL": 0.05})", "unknown keys \"maxMeanKL\"");
    expect_refused(R"({"schemaVersion": 1, "maxMeanKl": -1})", "expected at least 0");
    expect_refused(R"({"schemaVersion": 1, "maxMeanKl": "low"})", "expected a number");
    expect_refused(R"({"schemaVersion": 1, "minTop1Agreement": 95})", "a share from 0 to 1");
    expect_refused(R"({"schemaVersion": 1, "maxMeanKl": 1e999})", "thresholds.json");
    expect_refused(R"({"schemaVersion": 2})", "newer version");
    expect_refused(R"({"maxMeanKl": 1})", "\"schemaVersion\" is missing");
    expect_refused(R"([1])", "expected an object");
    test::expect_error(ErrorKind::kMissing, {"nowhere"}, [&] { load_thresholds(dir_ / "nowhere"); });
}

}  // namespace
}  // namespace plasticity
