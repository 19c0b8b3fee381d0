#include "plan/name_pattern.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "core/error.h"

namespace plasticity {
namespace {

RegularExpression compile_pattern(const std::string& text) {
    try {
        return {text, LetterCase::kIgnored};
    } catch (const std::invalid_argument& problem) {
        const bool is_long = text.size() > RegularExpression::kMaxBytes;
        throw Error(ErrorKind::kUsage,
                    fmt::format("plan: --tensor-type \"{}{}\" {}", text.substr(0, is_long ? 40 : text.npos),
                                is_long ? "…" : "", problem.what()));
    }
}

}  // namespace

NamePattern::NamePattern(std::string text) : text_(std::move(text)), expression_(compile_pattern(text_)) {}

}  // namespace plasticity
