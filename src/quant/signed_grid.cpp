#include "quant/signed_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "core/error.h"

namespace plasticity {
namespace {

/// Where a block keeps the index of its first point. Layouts: grid_packing.h.
struct GridFormat {
    ggml_type type;
    std::size_t dims;
    std::size_t n_points;
    std::size_t low_byte;
    std::size_t high_byte;
};

constexpr GridFormat kFormats[] = {
    {GGML_TYPE_IQ3_S, 4, 512, 2, 66}, {GGML_TYPE_IQ3_XXS, 4, 256, 2, 2}, {GGML_TYPE_IQ2_S, 8, 1024, 2, 66}};

/// Magnitudes of every point in eighths: [point][dims].
std::vector<int> read_points(const GridFormat& format) {
    std::vector<int> magnitudes;
    std::vector<float> values(static_cast<std::size_t>(ggml_blck_size(format.type)));
    for (std::size_t point = 0; point < format.n_points; ++point) {
        std::vector<std::uint8_t> block(ggml_type_size(format.type));
        const ggml_fp16_t one = ggml_fp32_to_fp16(1.0f);
        std::memcpy(block.data(), &one, sizeof one);
        block[format.low_byte] = static_cast<std::uint8_t>(point & 255);
        if (format.n_points > 256) block[format.high_byte] = static_cast<std::uint8_t>(point >> 8);
        ggml_get_type_traits(format.type)->to_float(block.data(), values.data(), static_cast<int>(values.size()));
        for (std::size_t i = 0; i < format.dims; ++i)
            magnitudes.push_back(static_cast<int>(std::lround(values[i] / SignedGrid::kUnit)));
    }
    return magnitudes;
}

/// Coordinates as indices of levels, and the code that they are the digits of.
class LevelCodes {
public:
    explicit LevelCodes(const std::vector<int>& magnitudes) {
        const std::set<int> distinct(magnitudes.begin(), magnitudes.end());
        levels_.assign(distinct.begin(), distinct.end());
    }
    const std::vector<int>& levels() const { return levels_; }

    std::uint32_t code(const int* magnitudes, std::size_t count) const {
        std::uint32_t code = 0;
        for (std::size_t i = count; i-- > 0;) {
            const auto level = std::ranges::lower_bound(levels_, magnitudes[i]) - levels_.begin();
            code = code * static_cast<std::uint32_t>(levels_.size()) + static_cast<std::uint32_t>(level);
        }
        return code;
    }
    std::vector<int> magnitudes(std::uint32_t code, std::size_t count) const {
        std::vector<int> found;
        for (std::size_t i = 0; i < count; ++i, code /= static_cast<std::uint32_t>(levels_.size()))
            found.push_back(levels_[code % levels_.size()]);
        return found;
    }

private:
    std::vector<int> levels_;
};

std::int32_t packed(const int* magnitudes) {
    std::uint32_t word = 0;
    for (std::size_t i = 0; i < 4; ++i) word |= static_cast<std::uint32_t>(magnitudes[i]) << 8 * i;
    return static_cast<std::int32_t>(word);
}

std::size_t nearest_point(const std::vector<int>& points, const std::vector<int>& wanted) {
    std::size_t best = 0;
    int least = std::numeric_limits<int>::max();
    for (std::size_t at = 0; at < points.size(); at += wanted.size()) {
        int distance = 0;
        for (std::size_t i = 0; i < wanted.size() && distance < least; ++i)
            distance += (points[at + i] - wanted[i]) * (points[at + i] - wanted[i]);
        if (distance < least) {
            least = distance;
            best = at;
        }
    }
    return best;
}

void add_nearest(SignedGrid& grid, const LevelCodes& codes, const std::vector<int>& points) {
    std::size_t n_codes = 1;
    for (std::size_t i = 0; i < grid.dims; ++i) n_codes *= codes.levels().size();
    for (std::uint32_t code = 0; code < n_codes; ++code) {
        const std::size_t at = nearest_point(points, codes.magnitudes(code, grid.dims));
        for (std::size_t word = 0; word < grid.dims; word += 4) grid.nearest.push_back(packed(&points[at + word]));
    }
}

void add_runs(SignedGrid& grid, const LevelCodes& codes, const std::vector<int>& points) {
    struct Halves {
        std::uint32_t first, second;
        std::size_t point;
    };
    std::vector<Halves> all;
    const std::size_t half = grid.dims / 2;
    for (std::size_t at = 0; at < points.size(); at += grid.dims)
        all.push_back({codes.code(&points[at], half), codes.code(&points[at + half], half), at / grid.dims});
    std::ranges::sort(all, [](const Halves& a, const Halves& b) {
        return a.first != b.first ? a.first < b.first : a.second < b.second;
    });
    for (const Halves& entry : all) {
        const auto at = static_cast<std::uint32_t>(grid.second.size());
        if (grid.runs.empty() || grid.runs.back().first != entry.first) grid.runs.push_back({entry.first, at, at});
        grid.second.push_back({entry.second, static_cast<float>(entry.point)});
        grid.runs.back().end = at + 1;
    }
}

SignedGrid build_grid(ggml_type type) {
    const auto* format = std::ranges::find(kFormats, type, &GridFormat::type);
    if (format == std::end(kFormats))
        throw Error(ErrorKind::kInternal, fmt::format("quantise: {} has no grid", ggml_type_name(type)));
    const std::vector<int> points = read_points(*format);
    const LevelCodes codes(points);
    SignedGrid grid;
    grid.dims = format->dims;
    for (const int level : codes.levels()) grid.levels.push_back(static_cast<float>(level));
    for (std::size_t at = 0; at < points.size(); at += 4) grid.points.push_back(packed(&points[at]));
    add_nearest(grid, codes, points);
    add_runs(grid, codes, points);
    return grid;
}

}  // namespace

const SignedGrid& signed_grid(ggml_type type) {
    static const SignedGrid iq3_s = build_grid(GGML_TYPE_IQ3_S);
    static const SignedGrid iq3_xxs = build_grid(GGML_TYPE_IQ3_XXS);
    if (type == GGML_TYPE_IQ3_S) return iq3_s;
    if (type == GGML_TYPE_IQ3_XXS) return iq3_xxs;
    static const SignedGrid iq2_s = build_grid(GGML_TYPE_IQ2_S);
    return iq2_s;
}

}  // namespace plasticity
