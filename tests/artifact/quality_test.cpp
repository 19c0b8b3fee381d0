#include "artifact/quality.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace plasticity {
namespace {

const QualityPanel kPanel{.positions = 510,
                          .mean_kl = 0.125,
                          .median_kl = 0.0625,
                          .p999_kl = 2,
                          .max_kl = 4,
                          .mean_kl_error = 0.01,
                          .base_perplexity = 4,
                          .perplexity = 5,
                          .top1_agreement = 0.75};

TEST(Quality, ReadsBackWhatItWrites) {
    const QualityPanel panel = read_quality(nlohmann::json(quality_json(kPanel)), "here");
    EXPECT_EQ(quality_json(panel), quality_json(kPanel));
    EXPECT_EQ(panel.perplexity_ratio(), 1.25);
}

TEST(Quality, HasNoErrorBarWhereOneChunkWasMeasured) {
    QualityPanel panel = kPanel;
    panel.mean_kl_error = std::nullopt;
    const nlohmann::json json = quality_json(panel);
    EXPECT_FALSE(json.contains("meanKlError"));
    EXPECT_FALSE(read_quality(json, "here").mean_kl_error);
}

TEST(Quality, RefusesUnknownKeysAndMissingOnes) {
    nlohmann::json json = quality_json(kPanel);
    json["meankl"] = 1;
    EXPECT_THROW(read_quality(json, "here"), Error);
    json.erase("meankl");
    json.erase("maxKl");
    EXPECT_THROW(read_quality(json, "here"), Error);
}

}  // namespace
}  // namespace plasticity
