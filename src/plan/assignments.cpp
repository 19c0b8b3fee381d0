#include "plan/assignments.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "artifact/type_names.h"

namespace plasticity {
namespace {

/// Matrices that one line of the recipe speaks for.
using Group = std::vector<const MatrixChoice*>;

enum class Part { kEmbedding, kAttention, kFeedForward, kOutput };

Part part_of(const MatrixChoice& choice) {
    switch (choice.id.role) {
        case TensorRole::kTokenEmbedding:
            return Part::kEmbedding;
        case TensorRole::kOutput:
            return Part::kOutput;
        case TensorRole::kGate:
        case TensorRole::kUp:
        case TensorRole::kDown:
        case TensorRole::kExpertGates:
        case TensorRole::kExpertUps:
        case TensorRole::kExpertDowns:
            return Part::kFeedForward;
        default:
            return Part::kAttention;
    }
}

bool came_the_same_way(const MatrixChoice& a, const MatrixChoice& b) {
    return a.level == b.level && a.start == b.start && a.ladder == b.ladder &&
           a.override_pattern == b.override_pattern && a.alignment() == b.alignment();
}

std::string subject(const MatrixChoice& choice, const HeadPruning& heads) {
    if (choice.id.layer < 0) return "every token passes it";
    const LayerHeads& layer = heads.layers()[static_cast<std::size_t>(choice.id.layer)];
    const std::string tier(tier_name(choice.tier));
    if (layer.scores.empty())
        return fmt::format("{} tier: no heads here, mean score {:.4f} of the model", tier, choice.mean_score);
    if (part_of(choice) == Part::kAttention)
        return fmt::format("{} tier: mean score {:.4f} of {} kept heads", tier, choice.mean_score, layer.n_heads());
    return fmt::format("{} tier: mean score {:.4f} of the layer's {} heads", tier, choice.mean_score,
                       layer.scores.size());
}

std::string way(const MatrixChoice& choice) {
    std::string start = ggml_type_name(choice.ladder[choice.start]);
    if (choice.level == choice.start) return start;
    const std::size_t steps = choice.level > choice.start ? choice.level - choice.start : choice.start - choice.level;
    return fmt::format("{} {} {} step{} to {}", start, choice.level > choice.start ? "demoted" : "promoted", steps,
                       steps == 1 ? "" : "s", ggml_type_name(choice.type()));
}

std::string alternative(const Group& group) {
    const MatrixChoice& first = *group.front();
    if (!first.can_promote()) return "; nothing above";
    std::uint64_t bytes = 0;
    double damage = 0;
    for (const MatrixChoice* choice : group) {
        bytes += choice->bytes_at(choice->level - 1) - choice->bytes();
        damage += choice->damage_at(choice->level - 1);
    }
    return fmt::format("; next {}: {} more bytes, damage {:.3g}", ggml_type_name(first.ladder[first.level - 1]), bytes,
                       damage);
}

/// What measured damage says for the type, and against its neighbours.
std::string measured_reason(const Group& group, double damage, double of_all) {
    const MatrixChoice& first = *group.front();
    const auto neighbour = [&](std::size_t level, std::string_view word) {
        double change = 0;
        std::int64_t bytes = 0;
        for (const MatrixChoice* choice : group) {
            change += choice->measured[level] - choice->damage();
            bytes += static_cast<std::int64_t>(choice->bytes_at(level)) - static_cast<std::int64_t>(choice->bytes());
        }
        return fmt::format("; {} {}: {:+} bytes, {:+.3g} nats", word, ggml_type_name(first.ladder[level]), bytes,
                           change);
    };
    std::string text = fmt::format("measured damage {:.3g} of {:.3g} nats per token in all", damage, of_all);
    text += first.can_promote() ? neighbour(first.level - 1, "above") : std::string("; nothing above");
    text += first.can_demote() ? neighbour(first.level + 1, "below") : std::string("; nothing below");
    return text;
}

/// Of the feed-forward part of a block that loses channels; else empty.
std::string channels_text(const MatrixChoice& choice, const HeadPruning& heads) {
    if (choice.id.layer < 0 || part_of(choice) != Part::kFeedForward) return "";
    const auto layer = static_cast<std::size_t>(choice.id.layer);
    const std::int64_t gone = heads.channels().n_removed(layer);
    return gone == 0
               ? ""
               : fmt::format("; {} channels removed, {:.3g} nats per token", gone, heads.channels().damage(layer));
}

std::string reason(const Group& group, const HeadPruning& heads, double of_all) {
    const MatrixChoice& first = *group.front();
    std::uint64_t bytes = 0;
    double damage = 0;
    for (const MatrixChoice* choice : group) {
        bytes += choice->bytes();
        damage += choice->damage();
    }
    const std::string size = fmt::format("{:.4g} bits per weight, {} bytes", bits_per_weight(first.type()), bytes);
    std::string text;
    if (!first.override_pattern.empty())
        return fmt::format("asked for by --tensor-type {}={}; {}, predicted damage {:.3g}; {}", first.override_pattern,
                           ggml_type_name(first.type()), size, damage, first.alignment());
    if (!first.measured.empty())
        text = fmt::format("{}; {}", size, measured_reason(group, damage, of_all));
    else
        text = fmt::format("{}; {}; {}, predicted damage {:.3g}{}", subject(first, heads), way(first), size, damage,
                           alternative(group));
    return text + channels_text(first, heads) + "; " + first.alignment();
}

/// The glob for a whole part of a block: exact, since biases end otherwise.
std::string part_pattern(const MatrixChoice& choice) {
    return fmt::format("model.layers.{}.{}.*_proj.weight", choice.id.layer,
                       part_of(choice) == Part::kAttention ? "self_attn" : "mlp");
}

QuantAssignment assignment(std::string pattern, const Group& group, const HeadPruning& heads, double of_all) {
    const MatrixChoice& first = *group.front();
    return {.pattern = std::move(pattern),
            .type = first.type(),
            .reason = reason(group, heads, of_all),
            .padded_columns = static_cast<std::int32_t>(first.padded_columns())};
}

void add_part(const Group& part, const HeadPruning& heads, double of_all, std::vector<QuantAssignment>& assignments) {
    const MatrixChoice& first = *part.front();
    const bool uniform = part.size() > 1 && std::all_of(part.begin(), part.end(), [&](const MatrixChoice* choice) {
                             return came_the_same_way(first, *choice);
                         });
    if (uniform) {
        assignments.push_back(assignment(part_pattern(first), part, heads, of_all));
        return;
    }
    for (const MatrixChoice* choice : part)
        assignments.push_back(assignment(hf_name(choice->id), {choice}, heads, of_all));
}

}  // namespace

std::vector<QuantAssignment> assignments_of(const std::vector<MatrixChoice>& choices, const HeadPruning& heads) {
    std::vector<const MatrixChoice*> ordered;
    for (const MatrixChoice& choice : choices) ordered.push_back(&choice);
    const auto key = [](const MatrixChoice* choice) {
        const Part part = part_of(*choice);
        const int place = part == Part::kEmbedding ? 0 : part == Part::kOutput ? 2 : 1;
        return std::tuple{place, choice->id.layer, part, choice->id.role};
    };
    std::stable_sort(ordered.begin(), ordered.end(), [&](auto* a, auto* b) { return key(a) < key(b); });

    double of_all = 0;
    for (const MatrixChoice& choice : choices) of_all += choice.damage();
    const std::string vectors = "vectors stay in F32: a thousandth of the bytes, and each value scales a whole channel";
    std::vector<QuantAssignment> assignments{{"*norm*.weight", GGML_TYPE_F32, vectors},
                                             {"*.bias", GGML_TYPE_F32, vectors}};
    for (std::size_t begin = 0; begin < ordered.size();) {
        std::size_t end = begin + 1;
        while (end < ordered.size() && ordered[end]->id.layer == ordered[begin]->id.layer &&
               part_of(*ordered[end]) == part_of(*ordered[begin]))
            ++end;
        add_part(
            {ordered.begin() + static_cast<std::ptrdiff_t>(begin), ordered.begin() + static_cast<std::ptrdiff_t>(end)},
            heads, of_all, assignments);
        begin = end;
    }
    return assignments;
}

}  // namespace plasticity
