#include "plan/channel_damage.h"

#include <gtest/gtest.h>

#include <numeric>

#include "plan/curvature_support.h"
#include "plan/shrinkage.h"
#include "support/expect_error.h"

namespace plasticity {
namespace {

class ChannelDamage : public testing::Test {
protected:
    /// ½ / count · Σ rows_r / Σ rows · columns_c · W_rc², straight from the definition.
    std::vector<double> exact(int layer) const {
        const ModelTensor& down = model_->require({TensorRole::kDown, layer});
        const CurvatureStatistics& curvature = statistics_.curvature.at(down.name);
        const std::vector<float> values = test::all_values(*model_, down.id);
        const double rows = std::accumulate(curvature.rows.begin(), curvature.rows.end(), 0.0);
        std::vector<double> damages(static_cast<std::size_t>(down.cols), 0.0);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const std::size_t col = i % damages.size();
            damages[col] += 0.5 / static_cast<double>(curvature.count) * curvature.rows[i / damages.size()] / rows *
                            curvature.columns[col] * double{values[i]} * double{values[i]};
        }
        return damages;
    }

    test::TempDir dir_;
    std::unique_ptr<Model> model_ = open_model(test::write_tiny_gguf(dir_ / "tiny.gguf", {.n_embd = 64, .n_ff = 256}));
    Statistics statistics_ = test::synthetic_curvature(*model_);
};

TEST_F(ChannelDamage, IsThatOfAColumnOfDownThatBecomesZero) {
    const auto damages = channel_damage(*model_, statistics_, 1);
    ASSERT_EQ(damages.size(), 2u);
    for (int layer = 0; layer < 2; ++layer) {
        const std::vector<double> expected = exact(layer);
        const auto& got = damages[static_cast<std::size_t>(layer)];
        ASSERT_EQ(got.size(), expected.size());
        for (std::size_t channel = 0; channel < got.size(); ++channel)
            EXPECT_NEAR(got[channel] / expected[channel], 1, 1e-9) << layer << ", " << channel;
    }
    EXPECT_EQ(damages, channel_damage(*model_, statistics_, 4)) << "the result depends on the number of threads";
}

TEST_F(ChannelDamage, IsThatOfGatesWhereTheyAreKnown) {
    CurvatureStatistics& curvature = statistics_.curvature.at("blk.0.ffn_down.weight");
    curvature.gates.assign(256, 4.0);
    curvature.gates[7] = 12.0;
    const auto damages = channel_damage(*model_, statistics_, 1);
    std::vector<double> estimates(256, 0.5 * 4 / static_cast<double>(curvature.count));
    estimates[7] *= 3;
    EXPECT_EQ(damages[0], shrunk(estimates, 1)) << "100 targets are of one sequence";
    EXPECT_NEAR(damages[1][0] / exact(1)[0], 1, 1e-9);
}

TEST_F(ChannelDamage, SaysWhatIsMissing) {
    statistics_.curvature.erase("blk.1.ffn_down.weight");
    test::expect_error(ErrorKind::kUsage, {"curvature of blk.1.ffn_down.weight", "--curvature-every"},
                       [&] { channel_damage(*model_, statistics_, 1); });
}

}  // namespace
}  // namespace plasticity
