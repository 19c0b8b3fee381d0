#include "compress/gram_limits.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/units.h"

namespace plasticity {

GramLimits limits_of(const std::vector<TensorEncoder>& encoders) {
    GramLimits limits;
    for (const TensorEncoder& encoder : encoders) {
        if (!encoder.need()) continue;
        const std::int64_t whole = encoder.need()->input->block;
        bool narrowed = false, left_out = false;
        for (const GramUse& use : {encoder.need()->compensation, encoder.need()->feedback}) {
            left_out = left_out || (use.wanted && !use.block);
            if (!use.is_possible() || *use.block == whole) continue;
            narrowed = true;
            limits.narrowest = limits.narrowest > 0 ? std::min(limits.narrowest, *use.block) : *use.block;
        }
        limits.narrowed += narrowed;
        limits.left_out += left_out;
    }
    return limits;
}

void note_limits(const GramLimits& limits, std::uint64_t most_bytes, Progress& progress) {
    const std::string bound = format_bytes(most_bytes);
    if (limits.narrowed > 0)
        progress.note(
            fmt::format("{} matrices use their Gram matrices in blocks of {} channels or more, narrower than the "
                        "file's: whole ones would take more than {} of memory (--gram-memory)",
                        limits.narrowed, limits.narrowest, bound));
    if (limits.left_out > 0)
        progress.note(
            fmt::format("{} matrices go without their Gram matrices, which would take more than {} of memory "
                        "(--gram-memory)",
                        limits.left_out, bound));
}

}  // namespace plasticity
