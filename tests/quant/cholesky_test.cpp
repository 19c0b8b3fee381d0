#include "quant/cholesky.h"

#include <gtest/gtest.h>

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <limits>

#include "support/instructions.h"

namespace plasticity {
namespace {

/// [n][n] sums of x xᵀ over n / 2 samples, and a ridge.
Eigen::MatrixXf positive_definite(Eigen::Index n) {
    const Eigen::MatrixXf samples =
        Eigen::MatrixXf::NullaryExpr(n, n / 2 + 1, [](Eigen::Index row, Eigen::Index sample) {
            return static_cast<float>((row * 37 + sample * 101 + row * sample) % 199) / 100.0f - 1.0f;
        });
    Eigen::MatrixXf sums = samples * samples.transpose();
    sums.diagonal().array() += 0.05f * sums.diagonal().mean();
    return sums;
}

/// What lies above the diagonal as NaN: nobody may read it.
Eigen::MatrixXf lower_of(const Eigen::MatrixXf& whole) {
    Eigen::MatrixXf lower = whole;
    lower.triangularView<Eigen::StrictlyUpper>().setConstant(std::numeric_limits<float>::quiet_NaN());
    return lower;
}

Eigen::MatrixXf factor_of(const Eigen::MatrixXf& whole, int n_threads) {
    Eigen::MatrixXf lower = lower_of(whole);
    EXPECT_TRUE(factor_cholesky(lower.data(), static_cast<std::size_t>(lower.rows()), n_threads));
    EXPECT_EQ(lower.array().isNaN().count(), lower.rows() * (lower.rows() - 1) / 2) << "written above the diagonal";
    return lower.triangularView<Eigen::Lower>();
}

class CholeskyOfSize : public testing::TestWithParam<Eigen::Index> {};

TEST_P(CholeskyOfSize, IsTheFactorInTwicePrecision) {
    const Eigen::MatrixXf whole = positive_definite(GetParam());
    const Eigen::MatrixXd expected = Eigen::LLT<Eigen::MatrixXd>(whole.cast<double>()).matrixL();
    const double difference = (factor_of(whole, 1).cast<double>() - expected).norm();
    EXPECT_LE(difference, 1e-5 * expected.norm());
}

TEST_P(CholeskyOfSize, DoesNotDependOnThreads) {
    const Eigen::MatrixXf whole = positive_definite(GetParam()), alone = factor_of(whole, 1);
    for (const int n_threads : {2, 3, 7}) EXPECT_EQ(factor_of(whole, n_threads), alone) << n_threads << " threads";
}

TEST_P(CholeskyOfSize, DoesNotDependOnInstructions) {
    const Eigen::MatrixXf whole = positive_definite(GetParam()), expected = factor_of(whole, 2);
    const int tried =
        test::with_all_instructions([&](const char* name) { EXPECT_EQ(factor_of(whole, 2), expected) << name; });
    EXPECT_GE(tried, 1);
}

TEST_P(CholeskyOfSize, SaysWhereThereIsNone) {
    Eigen::MatrixXf indefinite = lower_of(positive_definite(GetParam()));
    indefinite(indefinite.rows() - 1, indefinite.rows() - 1) = -1.0f;
    EXPECT_FALSE(factor_cholesky(indefinite.data(), static_cast<std::size_t>(indefinite.rows()), 2));
}

// One panel and a part of it; one whose strips below are whole, and are not.
INSTANTIATE_TEST_SUITE_P(Sizes, CholeskyOfSize, testing::Values(1, 5, 128, 129, 256, 400, 771));

}  // namespace
}  // namespace plasticity
