#include "model/weight_scales.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "io/printable.h"
#include "model/hf_dtype.h"

namespace plasticity {
namespace {

constexpr std::string_view kWeight = ".weight";

std::int64_t blocks_in(std::int64_t length, std::int64_t block) {
    return length / block + (length % block != 0 ? 1 : 0);
}

/// The name of the weight that a tensor scales; empty when it scales none.
std::string_view weight_of_scale(std::string_view name) {
    for (const std::string_view suffix : {"_scale_inv", "_scale"})
        if (name.ends_with(suffix)) {
            name.remove_suffix(suffix.size());
            return name.ends_with(kWeight) ? name : std::string_view();
        }
    return {};
}

// Of the inputs and outputs of projections, and of the KV cache.
bool scales_activations(std::string_view name) {
    constexpr std::array<std::string_view, 7> kSuffixes{
        ".input_scale", ".input_scale_ub", ".activation_scale", ".output_scale", ".q_scale", ".k_scale", ".v_scale"};
    return std::ranges::any_of(kSuffixes, [&](std::string_view suffix) { return name.ends_with(suffix); });
}

std::string shape_text(std::span<const std::int64_t> shape) {
    return fmt::format("[{}]", fmt::join(shape, " × "));
}

}  // namespace

bool WeightScales::take(const ShardEntry& tensor, ProblemList& problems) {
    const std::string_view name = tensor.entry->name;
    const std::string_view weight = weight_of_scale(name);
    if (weight.empty()) return scales_activations(name);
    if (const auto [place, is_new] = by_weight_.try_emplace(std::string(weight), Taken{tensor}); !is_new)
        problems.add(fmt::format("{}: scaled by {} too; expected one scale", printable(name),
                                 printable(place->second.stored.entry->name)));
    return true;
}

std::optional<WeightScale> WeightScales::claim(const SafetensorsEntry& weight, ProblemList& problems) {
    const auto found = by_weight_.find(weight.name);
    if (found == by_weight_.end()) {
        if (is_float8(weight.dtype) && scheme_.is_quantized)
            problems.add(
                fmt::format("{}: {} without a scale; config.json's quantization_config promises a tensor of "
                            "that name with _scale_inv or _scale behind it. Is the folder complete?",
                            printable(weight.name), weight.dtype));
        return std::nullopt;
    }
    found->second.is_claimed = true;
    const SafetensorsEntry& scale = *found->second.stored.entry;
    if (!is_float8(weight.dtype)) {
        problems.add(fmt::format("{}: scales a weight of dtype {}; expected F8_E4M3 or F8_E5M2", printable(scale.name),
                                 weight.dtype));
        return std::nullopt;
    }
    if (!is_scale_dtype(scale.dtype)) {
        problems.add(
            fmt::format("{}: got dtype {}; expected F32, BF16, F16 or F8_E8M0", printable(scale.name), scale.dtype));
        return std::nullopt;
    }
    if (const std::optional<BlockSize> block = block_of(scale, weight))
        return WeightScale{found->second.stored, *block};
    problems.add(fmt::format("{}: got shape {}; expected {} for a weight of shape {}", printable(scale.name),
                             shape_text(scale.shape), expected_shapes(weight), shape_text(weight.shape)));
    return std::nullopt;
}

std::optional<BlockSize> WeightScales::block_of(const SafetensorsEntry& scale, const SafetensorsEntry& weight) const {
    const std::int64_t rows = rows_in(weight), cols = weight.shape.back();
    const std::vector<std::int64_t>& shape = scale.shape;
    if (std::ranges::all_of(shape, [](std::int64_t dim) { return dim == 1; })) return BlockSize{rows, cols};
    if (weight.shape.size() != 2) return std::nullopt;
    if (shape == std::vector{rows} || shape == std::vector<std::int64_t>{rows, 1}) return BlockSize{1, cols};
    const bool fits_blocks = scheme_.block && shape == std::vector{blocks_in(rows, scheme_.block->rows),
                                                                   blocks_in(cols, scheme_.block->cols)};
    return fits_blocks ? scheme_.block : std::nullopt;
}

std::string WeightScales::expected_shapes(const SafetensorsEntry& weight) const {
    if (weight.shape.size() != 2) return "one value";
    const std::string for_rows = fmt::format("[{} × 1]", rows_in(weight));
    if (!scheme_.block) return fmt::format("one value or {}", for_rows);
    return fmt::format(
        "[{} × {}] (blocks of {} × {}), one value or {}", blocks_in(rows_in(weight), scheme_.block->rows),
        blocks_in(weight.shape.back(), scheme_.block->cols), scheme_.block->rows, scheme_.block->cols, for_rows);
}

void WeightScales::report_unclaimed(ProblemList& problems) const {
    for (const auto& [weight, scale] : by_weight_)
        if (!scale.is_claimed)
            problems.add(fmt::format("{}: scales {}, which the folder does not hold as a weight of this model",
                                     printable(scale.stored.entry->name), printable(weight)));
}

}  // namespace plasticity
