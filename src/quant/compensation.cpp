#include "quant/compensation.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <utility>

#include "core/error.h"
#include "quant/eigen_blocking.h"

namespace plasticity {
namespace {

using Matrix = Eigen::MatrixXd;

/// C_AB, [a][b]; channels are counted from the block's first.
Matrix part_of(const GramBlock& block, std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
    Matrix part(std::ssize(a), std::ssize(b));
    for (Eigen::Index col = 0; col < part.cols(); ++col)
        for (Eigen::Index row = 0; row < part.rows(); ++row)
            part(row, col) = double{block.at(a[static_cast<std::size_t>(row)], b[static_cast<std::size_t>(col)])};
    return part;
}

/// What is solved, C_SS and C_SP: the block itself takes no memory any more.
struct System {
    Matrix among_kept;
    Matrix with_removed;
};

/// @param kept, removed  channels of the block, counted from its first
System system_of(const GramBlocks& gram, std::int64_t first, std::span<const std::int64_t> kept,
                 std::span<const std::int64_t> removed) {
    const GramBlock block = gram.read(first);
    return {part_of(block, kept, kept), part_of(block, kept, removed)};
}

/// (C_SS + λI)⁻¹ C_SP = Mᵀ, in the place of C_SP
Matrix solve(System system) {
    const double mean = system.among_kept.diagonal().mean();
    if (!(mean > 0)) return Matrix::Zero(system.with_removed.rows(), system.with_removed.cols());  // never seen
    system.among_kept.diagonal().array() += Compensation::kRidge * mean;
    const Eigen::LLT<Eigen::Ref<Matrix>> in_place(system.among_kept);
    if (in_place.info() != Eigen::Success)
        throw Error(ErrorKind::kMalformed,
                    "compensation: the Gram matrix is not positive semi-definite; expected sums of x xᵀ. Is the file "
                    "damaged?");
    in_place.solveInPlace(system.with_removed);
    return std::move(system.with_removed);
}

std::vector<std::int64_t> counted_from(std::int64_t first, std::span<const std::int64_t> columns) {
    std::vector<std::int64_t> channels;
    for (const std::int64_t column : columns) channels.push_back(column - first);
    return channels;
}

}  // namespace

Compensation::Compensation(const GramBlocks& gram, std::span<const std::int64_t> kept)
    : width_(gram.width), kept_(kept.begin(), kept.end()) {
    fix_eigen_blocking();
    for (std::int64_t first = 0; first < width_; first += gram.block) add(gram, first);
}

void Compensation::add(const GramBlocks& gram, std::int64_t first) {
    const auto begin = std::ranges::lower_bound(kept_, first),
               end = std::ranges::lower_bound(kept_, first + gram.block);
    Part part{.first_kept = static_cast<std::size_t>(begin - kept_.begin()),
              .n_kept = static_cast<std::size_t>(end - begin),
              .removed = {},
              .map = {}};
    for (std::int64_t column = first; column < first + gram.block; ++column)
        if (!std::binary_search(begin, end, column)) part.removed.push_back(column);
    if (part.n_kept == 0 || part.removed.empty()) return;
    const Matrix transposed =
        solve(system_of(gram, first, counted_from(first, std::span(begin, end)), counted_from(first, part.removed)));
    part.map.reserve(part.n_kept * part.removed.size());
    for (Eigen::Index p = 0; p < transposed.cols(); ++p)
        for (Eigen::Index s = 0; s < transposed.rows(); ++s) part.map.push_back(static_cast<float>(transposed(s, p)));
    parts_.push_back(std::move(part));
}

std::uint64_t Compensation::building_bytes(std::int64_t width, std::int64_t block) {
    const auto square = static_cast<std::uint64_t>(block * block);
    // The maps of the blocks before; then the block's sums beside C_SS and C_SP, together at most its square of F64.
    return static_cast<std::uint64_t>(width / block - 1) * square / 4 * sizeof(float) + square / 2 * sizeof(float) +
           square * sizeof(double);
}

void Compensation::apply(std::span<const float> rows, std::span<float> out) const {
    const auto width = static_cast<std::size_t>(width_);
    std::vector<double> sums(kept_.size());
    for (std::size_t first = 0, at = 0; first < rows.size(); first += width, at += kept_.size()) {
        const auto row = rows.subspan(first, width);
        for (std::size_t s = 0; s < sums.size(); ++s) sums[s] = double{row[static_cast<std::size_t>(kept_[s])]};
        for (const Part& part : parts_) add_removed(part, row, std::span(sums).subspan(part.first_kept, part.n_kept));
        for (std::size_t s = 0; s < sums.size(); ++s) out[at + s] = static_cast<float>(sums[s]);
    }
}

/// @param sums  of the part's columns that stay
void Compensation::add_removed(const Part& part, std::span<const float> row, std::span<double> sums) {
    for (std::size_t p = 0; p < part.removed.size(); ++p) {
        const double weight = row[static_cast<std::size_t>(part.removed[p])];
        const float* map = part.map.data() + p * part.n_kept;
        for (std::size_t s = 0; s < sums.size(); ++s) sums[s] += weight * double{map[s]};
    }
}

}  // namespace plasticity
