#include "quant/compensation.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>

#include "core/error.h"
#include "quant/eigen_blocking.h"

namespace plasticity {
namespace {

/// Of the mean diagonal: what GPTQ damps by, too.
constexpr double kRidge = 0.01;

using Matrix = Eigen::MatrixXd;

/// Σ w x_a x_b; 0 between channels of different blocks.
double entry(const GramBlocks& gram, std::int64_t a, std::int64_t b) {
    const std::int64_t block = a / gram.block;
    if (b / gram.block != block) return 0;
    return double{
        gram.values[static_cast<std::size_t>((block * gram.block + a % gram.block) * gram.block + b % gram.block)]};
}

/// C_AB, [a][b]
Matrix part_of(const GramBlocks& gram, std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
    Matrix part(std::ssize(a), std::ssize(b));
    for (Eigen::Index col = 0; col < part.cols(); ++col)
        for (Eigen::Index row = 0; row < part.rows(); ++row)
            part(row, col) = entry(gram, a[static_cast<std::size_t>(row)], b[static_cast<std::size_t>(col)]);
    return part;
}

/// (C_SS + λI)⁻¹ C_SP = Mᵀ
Matrix solve(const GramBlocks& gram, std::span<const std::int64_t> kept, std::span<const std::int64_t> removed) {
    Matrix among_kept = part_of(gram, kept, kept);
    const double mean = among_kept.diagonal().mean();
    if (!(mean > 0)) return Matrix::Zero(std::ssize(kept), std::ssize(removed));  // nothing is known of them
    among_kept.diagonal().array() += kRidge * mean;
    const Eigen::LLT<Matrix> factor(among_kept);
    if (factor.info() != Eigen::Success)
        throw Error(ErrorKind::kMalformed,
                    "compensation: the Gram matrix is not positive semi-definite; expected sums of x xᵀ. Is the file "
                    "damaged?");
    return factor.solve(part_of(gram, kept, removed));
}

}  // namespace

Compensation::Compensation(const GramBlocks& gram, std::span<const std::int64_t> kept)
    : width_(gram.width), kept_(kept.begin(), kept.end()) {
    fix_eigen_blocking();
    for (std::int64_t column = 0; column < width_; ++column)
        if (!std::ranges::binary_search(kept_, column)) removed_.push_back(column);
    if (kept_.empty() || removed_.empty()) return;
    const Matrix transposed = solve(gram, kept_, removed_);
    map_.reserve(kept_.size() * removed_.size());
    for (Eigen::Index p = 0; p < transposed.cols(); ++p)
        for (Eigen::Index s = 0; s < transposed.rows(); ++s) map_.push_back(static_cast<float>(transposed(s, p)));
}

void Compensation::apply(std::span<const float> rows, std::span<float> out) const {
    const auto width = static_cast<std::size_t>(width_);
    std::vector<double> sums(kept_.size());
    for (std::size_t first = 0, at = 0; first < rows.size(); first += width, at += kept_.size()) {
        const auto row = rows.subspan(first, width);
        for (std::size_t s = 0; s < sums.size(); ++s) sums[s] = double{row[static_cast<std::size_t>(kept_[s])]};
        for (std::size_t p = 0; p < removed_.size(); ++p) {
            const double weight = row[static_cast<std::size_t>(removed_[p])];
            const float* map = map_.data() + p * kept_.size();
            for (std::size_t s = 0; s < sums.size(); ++s) sums[s] += weight * double{map[s]};
        }
        for (std::size_t s = 0; s < sums.size(); ++s) out[at + s] = static_cast<float>(sums[s]);
    }
}

}  // namespace plasticity
