#include "quant/removal_error.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <utility>

#include "core/error.h"
#include "quant/compensation.h"
#include "quant/eigen_blocking.h"

namespace plasticity {
namespace {

using Matrix = Eigen::MatrixXd;

/// (C + λI)⁻¹ of some neighbouring channels, from the factor of all: E_Pᵀ L⁻ᵀ L⁻¹ E_P.
Matrix inverse_part(const std::vector<double>& factor, Eigen::Index side, Eigen::Index first, Eigen::Index n) {
    const Eigen::Map<const Matrix> lower(factor.data(), side, side);
    const Eigen::Index below = side - first;  // above its first channel L⁻¹ E_P is zero
    Matrix solved = Matrix::Identity(below, n);
    lower.bottomRightCorner(below, below).triangularView<Eigen::Lower>().solveInPlace(solved);
    return solved.transpose() * solved;
}

}  // namespace

RemovalError::RemovalError(GramBlock gram) : gram_(std::move(gram)) {
    fix_eigen_blocking();
    const auto side = static_cast<std::size_t>(gram_.side);
    double trace = 0;
    for (std::int64_t i = 0; i < gram_.side; ++i) trace += double{gram_.at(i, i)};
    if (!(trace > 0)) return;  // never seen
    lambda_ = Compensation::kRidge * trace / static_cast<double>(side);
    factor_.assign(side * side, 0.0);
    for (std::int64_t col = 0; col < gram_.side; ++col)
        for (std::int64_t row = col; row < gram_.side; ++row)
            factor_[static_cast<std::size_t>(col * gram_.side + row)] =
                double{gram_.at(row, col)} + (row == col ? lambda_ : 0.0);
    Eigen::Map<Matrix> square(factor_.data(), gram_.side, gram_.side);
    const Eigen::LLT<Eigen::Ref<Matrix>> in_place(square);
    if (in_place.info() != Eigen::Success)
        throw Error(ErrorKind::kMalformed,
                    "plan: the Gram matrix is not positive semi-definite; expected sums of x xᵀ. Is the file damaged?");
}

RemovalError::Sums RemovalError::of(std::int64_t first, std::int64_t n, std::span<const float> rows,
                                    std::span<const double> factors) const {
    if (factor_.empty()) return {};
    const Eigen::LLT<Matrix> remaining(inverse_part(factor_, gram_.side, first, n));
    Matrix together(n, n);
    for (std::int64_t a = 0; a < n; ++a)
        for (std::int64_t b = 0; b < n; ++b) together(a, b) = double{gram_.at(first + a, first + b)};
    Sums sums;
    for (std::size_t row = 0; row < factors.size(); ++row) {
        const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(row) * gram_.side + first;
        const Eigen::VectorXd weights = Eigen::Map<const Eigen::VectorXf>(&*begin, n).cast<double>();
        const double cut = weights.dot(together * weights);
        const double left = weights.dot(remaining.solve(weights)) - lambda_ * weights.squaredNorm();
        sums.cut += factors[row] * cut;
        sums.compensated += factors[row] * (left < cut ? std::max(left, 0.0) : cut);
    }
    return sums;
}

std::uint64_t RemovalError::building_bytes(std::int64_t side) {
    const auto square = static_cast<std::uint64_t>(side * side);
    // The sums and the factor; the solved columns of a KV group are few beside them.
    return square / 2 * sizeof(float) + square * sizeof(double);
}

}  // namespace plasticity
