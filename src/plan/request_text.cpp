#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "core/error.h"
#include "plasticity/plan.h"

namespace plasticity {
namespace {

/// Nothing where it is no number, or a negative one.
std::optional<double> parse_amount(std::string_view text) {
    double amount = 0;
    const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), amount);
    const bool is_number = problem == std::errc() && stop == text.data() + text.size() && amount >= 0;
    return is_number ? std::optional(amount) : std::nullopt;
}

/// Of what stands without a comma; nothing where it is of none of the forms.
std::optional<PruneRequest> parse_one(std::string_view text) {
    using Kind = PruneRequest::Kind;
    const auto amount_after = [&](std::string_view key) {
        return text.starts_with(key) ? parse_amount(text.substr(key.size())) : std::nullopt;
    };
    if (text == "auto") return PruneRequest{Kind::kAuto, 0};
    if (text == "off") return PruneRequest{Kind::kOff, 0};
    if (const auto groups = amount_after("kv-groups=")) return PruneRequest{Kind::kKvGroups, *groups};
    if (const auto share = amount_after("heads=")) return PruneRequest{Kind::kHeads, *share};
    if (const auto share = amount_after("ffn=")) return PruneRequest{Kind::kOff, 0, *share};
    return std::nullopt;
}

/// Heads of the one and channels of the other. Nothing where that is not what they ask for.
std::optional<PruneRequest> joined(const PruneRequest& a, const PruneRequest& b) {
    using Kind = PruneRequest::Kind;
    const PruneRequest &heads = a.channel_share > 0 ? b : a, &channels = a.channel_share > 0 ? a : b;
    const bool asks_for_heads = heads.kind == Kind::kKvGroups || heads.kind == Kind::kHeads;
    if (!asks_for_heads || channels.kind != Kind::kOff || channels.channel_share == 0) return std::nullopt;
    return PruneRequest{heads.kind, heads.amount, channels.channel_share};
}

}  // namespace

PruneRequest parse_prune(std::string_view text) {
    const std::size_t comma = text.find(',');
    std::optional<PruneRequest> request = parse_one(text.substr(0, comma));
    if (request && comma != std::string::npos) {
        const std::optional<PruneRequest> other = parse_one(text.substr(comma + 1));
        request = other ? joined(*request, *other) : std::nullopt;
    }
    if (!request)
        throw Error(ErrorKind::kUsage,
                    fmt::format("--prune {}: expected auto, off, kv-groups=N, heads=SHARE or ffn=SHARE, or heads and "
                                "channels together, as in kv-groups=1,ffn=0.1; numbers are not negative",
                                text));
    return *request;
}

std::pair<std::string, std::string> parse_tensor_type(std::string_view text) {
    const std::size_t split = text.rfind('=');
    if (split == std::string_view::npos || split == 0)
        throw Error(ErrorKind::kUsage, fmt::format("--tensor-type {}: expected REGEX=TYPE", text));
    return {std::string(text.substr(0, split)), std::string(text.substr(split + 1))};
}

}  // namespace plasticity
