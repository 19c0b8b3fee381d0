#include "plan/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "artifact/output_layout.h"
#include "artifact/type_names.h"
#include "core/checked.h"
#include "core/error.h"
#include "core/units.h"
#include "plan/file_size.h"
#include "plan/type_fitting.h"

namespace plasticity {
namespace {

/// The text of two recipes differs by some hundred bytes, less than any step of a model that is not tiny: a few rounds
/// do.
constexpr int kMaxRounds = 64;

/// One topology: types are fitted, heads stay as they are.
class TypeFit {
public:
    TypeFit(const PlanInputs& inputs, const HeadPruning& heads)
        : inputs_(inputs),
          heads_(heads),
          limit_(limit_bytes(inputs, heads)),
          sizer_(inputs.model),
          choices_(inputs.choices(heads)) {}

    std::optional<Recipe> run() { return inputs_.goal.bounds_file() ? fit_file() : fit_memory(); }

    /// What nothing smaller can replace.
    Recipe at_the_floor() {
        for (MatrixChoice& choice : choices_) choice.level = choice.ladder.size() - 1;
        return settled_draft();
    }

    std::uint64_t measured(const Recipe& recipe) const {
        return inputs_.goal.bounds_file() ? recipe.budget.file_bytes : recipe.budget.total_bytes;
    }

private:
    Recipe settled_draft() {
        Recipe recipe = draft_recipe(inputs_, heads_, choices_);
        sizer_.settle(recipe, stored_bytes(choices_));
        return recipe;
    }

    std::optional<Recipe> fit_memory() {
        const std::uint64_t beside = budget_of(inputs_, heads_, choices_).total_bytes - matrix_bytes();
        if (beside > limit_ || !assign_types(limit_ - beside)) return std::nullopt;
        return settled_draft();
    }

    /// Types within `room_bytes`, from the start: the policy's. @returns false when nothing fits
    bool assign_types(std::uint64_t room_bytes) {
        if (inputs_.damage != nullptr) return choose_least_damage(choices_, room_bytes);
        for (MatrixChoice& choice : choices_) choice.level = choice.start;
        return demote_until_fits(choices_, room_bytes);
    }

    /// The header holds the recipe's text, whose length follows from the choice: where a choice turns out too large,
    /// the next gets the room that this one's header leaves, and less than this one took.
    std::optional<Recipe> fit_file() {
        Recipe recipe = settled_draft();
        std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
        for (int round = 0; round < kMaxRounds; ++round) {
            const std::uint64_t beside = recipe.budget.file_bytes - stored_bytes(choices_);
            if (beside > limit_) return std::nullopt;
            const std::uint64_t room = std::min(limit_ - beside, least - 1);
            if (!assign_types(room)) return std::nullopt;
            Promoter promoter(choices_);
            promoter.promote_within(room);
            recipe = settled_draft();
            if (recipe.budget.file_bytes <= limit_) return polish(promoter, std::move(recipe));
            least = std::min(least, stored_bytes(choices_));
        }
        return std::nullopt;
    }

    /// Uses what the estimate of the header left over; every step is kept only if the finished file really fits.
    Recipe polish(Promoter& promoter, Recipe recipe) {
        for (;;) {
            const std::uint64_t beside = recipe.budget.file_bytes - stored_bytes(choices_);
            if (promoter.promote_within(limit_ - beside) == 0) return recipe;
            recipe = settled_draft();
            while (recipe.budget.file_bytes > limit_) {
                promoter.undo_last();
                recipe = settled_draft();
            }
        }
    }

    std::uint64_t matrix_bytes() const {
        std::uint64_t bytes = 0;
        for (const MatrixChoice& choice : choices_) bytes += choice.bytes();
        return bytes;
    }

    const PlanInputs& inputs_;
    const HeadPruning& heads_;
    std::uint64_t limit_;
    FileSizer sizer_;
    std::vector<MatrixChoice> choices_;
};

/// Bytes at the floor without the file's header: a bound that costs no layout.
std::uint64_t least_bytes(const PlanInputs& inputs, const HeadPruning& heads) {
    std::vector<MatrixChoice> choices = inputs.choices(heads);
    if (inputs.goal.bounds_file()) return smallest_bytes(choices);
    for (MatrixChoice& choice : choices) choice.level = choice.ladder.size() - 1;
    return budget_of(inputs, heads, choices).total_bytes;
}

[[noreturn]] void refuse(const PlanInputs& inputs, const HeadPruning& heads) {
    TypeFit fit(inputs, heads);
    const std::uint64_t least = fit.measured(fit.at_the_floor());
    const std::string remedy =
        inputs.goal.device ? "a larger device, a shorter --context, a smaller --kv-type" : "a larger target";
    throw Error(
        ErrorKind::kInfeasible,
        fmt::format("plan: nothing fits {} bytes ({}). The smallest {} is {} bytes ({}): every matrix at the "
                    "fewest bits that its rows and the floor {} allow{}, {} of {} query heads kept. Choose {}, "
                    "a lower --floor, or prune more",
                    limit_bytes(inputs, heads), format_bytes(limit_bytes(inputs, heads)),
                    inputs.goal.device ? "run-time memory" : "file", least, format_bytes(least),
                    ggml_type_name(inputs.goal.floor), inputs.goal.overrides.empty() ? "" : " and --tensor-type",
                    heads.n_heads(), heads.base_heads(), remedy));
}

void require_true_size(const Model& model, const Recipe& recipe) {
    const std::uint64_t bytes = lay_out(model, recipe, {}).file.file_bytes();
    if (bytes != recipe.budget.file_bytes)
        throw Error(ErrorKind::kInternal, fmt::format("plan: the recipe states a file of {} bytes, its layout gives {}",
                                                      recipe.budget.file_bytes, bytes));
}

std::optional<Recipe> fit_types(const PlanInputs& inputs, const HeadPruning& heads) {
    if (least_bytes(inputs, heads) > limit_bytes(inputs, heads)) return std::nullopt;
    return TypeFit(inputs, heads).run();
}

/// The unit whose removal is predicted to do least damage for each head's worth of bytes.
std::optional<PruneUnit> least_damaging(const MeasuredDamage& damage, const HeadPruning& heads) {
    const double before = damage.of_removed(heads);
    std::optional<PruneUnit> best;
    double least = 0;
    for (const PruneUnit& unit : heads.units()) {
        HeadPruning without = heads;
        without.remove(unit);
        const double price = (damage.of_removed(without) - before) / unit.heads;
        if (!best || price < least) std::tie(best, least) = std::pair(unit, price);
    }
    return best;
}

std::string name_of(const PruneUnit& unit) {
    if (unit.group) return fmt::format("KV group {} of layer {}", *unit.group, unit.layer);
    return fmt::format("a query head of every KV group of layer {}", unit.layer);
}

/// Fewer heads for finer types, as long as the sum of both damages falls. The recipe says what ended it.
Recipe prune_while_it_pays(const PlanInputs& inputs, HeadPruning heads, Recipe best) {
    PlanInputs said = inputs;
    said.pruning = "every layer keeps as few heads as it may";
    while (const std::optional<PruneUnit> unit = least_damaging(*inputs.damage, heads)) {
        HeadPruning fewer = heads;
        fewer.remove(*unit);
        std::optional<Recipe> recipe = fit_types(inputs, fewer);
        if (!recipe || *recipe->predicted_kl >= *best.predicted_kl) {
            const double cost = inputs.damage->of_removed(fewer) - inputs.damage->of_removed(heads);
            said.pruning = fmt::format(
                "{} of {} query heads removed; the next would be {}: {:.3g} nats per token, KL {:.4g} in all against "
                "{:.4g}",
                heads.base_heads() - heads.n_heads(), heads.base_heads(), name_of(*unit), cost,
                recipe ? *recipe->predicted_kl : std::numeric_limits<double>::infinity(), *best.predicted_kl);
            break;
        }
        heads = std::move(fewer);
        best = std::move(*recipe);
    }
    std::optional<Recipe> explained = fit_types(said, heads);  // the words take room, too
    return explained ? std::move(*explained) : best;
}

}  // namespace

Recipe fit(const PlanInputs& inputs, HeadPruning heads) {
    const bool may_prune = inputs.goal.prune.kind == PruneRequest::Kind::kAuto;
    for (;;) {
        if (std::optional<Recipe> recipe = fit_types(inputs, heads)) {
            if (may_prune && inputs.damage != nullptr) recipe = prune_while_it_pays(inputs, heads, std::move(*recipe));
            require_true_size(inputs.model, *recipe);
            return *recipe;
        }
        std::optional<PruneUnit> unit;
        if (may_prune) unit = inputs.damage != nullptr ? least_damaging(*inputs.damage, heads) : heads.cheapest_unit();
        if (!unit) refuse(inputs, heads);
        heads.remove(*unit);
    }
}

}  // namespace plasticity
