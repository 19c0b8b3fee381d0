#include "artifact/score_provenance.h"

#include <fmt/format.h>

#include <charconv>

#include "core/error.h"

namespace plasticity {
namespace {

/// 0 where the text is no number.
std::int32_t whole_number(std::string_view text) {
    std::int32_t value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    return failure == std::errc() && end == text.data() + text.size() ? value : 0;
}

}  // namespace

ScoreSlice parse_score_slice(std::string_view text) {
    const std::size_t slash = text.find('/');
    ScoreSlice slice{.index = 0, .count = 0};
    if (slash != std::string_view::npos) {
        slice.index = whole_number(text.substr(0, slash));
        slice.count = whole_number(text.substr(slash + 1));
    }
    if (slice.index < 1 || slice.count < slice.index || slice.count > kMaxSlices)
        throw Error(ErrorKind::kUsage,
                    fmt::format("score: --slice {}; expected i/n, the i-th of n, with i from 1 to n and n up to {}",
                                text, kMaxSlices));
    return slice;
}

}  // namespace plasticity
