#include "plan/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "artifact/output_layout.h"
#include "artifact/type_names.h"
#include "core/checked.h"
#include "core/error.h"
#include "core/units.h"
#include "plan/file_size.h"
#include "plan/prune_order.h"
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

/// Every matrix has a type whose blocks divide its rows: --tensor-type may ask for another.
bool rows_divide(const std::vector<MatrixChoice>& choices) {
    return std::ranges::all_of(choices, [](const MatrixChoice& choice) {
        const ggml_type type = choice.ladder.front();
        return choice.row_length(type) % ggml_blck_size(type) == 0;
    });
}

/// What is compared for these heads; never empty.
std::vector<PaddedDimensions> alignments_of(const PlanInputs& inputs, const HeadPruning& heads) {
    const bool tells = inputs.damage != nullptr || !is_auto(inputs.goal.align);
    const auto candidates = padding_candidates(inputs.model.architecture(), tells ? inputs.goal.align : Align::kNone);
    std::vector<PaddedDimensions> alignments;
    std::vector<Alignment> seen;
    for (const PaddedDimensions& candidate : candidates) {
        const PlanInputs aligned = inputs.with(candidate);
        const Alignment alignment = aligned.aligned(heads);
        if (std::ranges::find(seen, alignment) != seen.end() || !rows_divide(aligned.choices(heads))) continue;
        seen.push_back(alignment);
        alignments.push_back(candidate);
    }
    // Where no rows divide, the layout says which and why.
    return alignments.empty() ? std::vector{candidates.front()} : alignments;
}

[[noreturn]] void refuse(const PlanInputs& inputs, const HeadPruning& heads) {
    std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
    for (const PaddedDimensions& padded : alignments_of(inputs, heads)) {
        const PlanInputs aligned = inputs.with(padded);
        TypeFit fit(aligned, heads);
        least = std::min(least, fit.measured(fit.at_the_floor()));
    }
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

std::string name_of(const PruneUnit& unit) {
    if (unit.is_everything) return fmt::format("all attention of layer {}", unit.layer);
    if (unit.group) return fmt::format("KV group {} of layer {}", *unit.group, unit.layer);
    return fmt::format("a query head of every KV group of layer {}", unit.layer);
}

/// A plan and how its rows are aligned.
struct AlignedPlan {
    PaddedDimensions padded;
    Recipe recipe;
};

/// One for each alignment that fits and that may be written; the least predicted damage first.
std::vector<AlignedPlan> aligned_plans(const PlanInputs& inputs, const HeadPruning& heads) {
    std::vector<AlignedPlan> plans;
    for (const PaddedDimensions& padded : alignments_of(inputs, heads)) {
        std::optional<Recipe> recipe = fit_types(inputs.with(padded), heads);
        if (recipe && (recipe->stock || !inputs.goal.require_stock || !padded.any()))
            plans.push_back({padded, std::move(*recipe)});
    }
    if (inputs.damage != nullptr)
        std::ranges::stable_sort(plans, {}, [](const AlignedPlan& plan) { return *plan.recipe.predicted_kl; });
    return plans;
}

/// Where a plan's divergence is beyond so many times the best one's, removing yet more is not tried.
constexpr double kHopeless = 1.5;

/// Removes units for finer types as far as the sum of both damages is least.
class PruneSearch {
public:
    /// @param best  the plan without any removed
    PruneSearch(const PlanInputs& inputs, PruneOrder start, Recipe best)
        : inputs_(inputs), start_(start), order_(std::move(start)), best_(std::move(best)) {}

    /// The first units may not pay for what they cost once: blocks that are not alike take more memory at run time, and
    /// shorter rows other types. So 1, 2, 4, … are tried, then what lies around the best of them.
    void run() {
        for (std::size_t n = 1; try_without(n); n *= 2) {
        }
        for (std::size_t step = n_ / 2; step > 0; step /= 2) {
            const std::size_t middle = n_;
            try_without(middle + step);
            if (n_ == middle) try_without(middle - step);
        }
    }

    const HeadPruning& heads() const { return order_.heads(); }

    /// What ended it.
    std::string reason() const {
        const std::optional<PruneUnit> unit = order_.next();
        if (!unit) return "every layer keeps as few heads as it may";
        PruneOrder further = order_;
        further.remove(*unit);
        const std::optional<Recipe> recipe = fitted(further.heads());
        const double cost = inputs_.damage->of_removed(further.heads()) - inputs_.damage->of_removed(heads());
        return fmt::format(
            "{} of {} query heads removed; the next would be {}: {:.3g} nats per token, KL {:.4g} in all against "
            "{:.4g}",
            heads().base_heads() - heads().n_heads(), heads().base_heads(), name_of(*unit), cost,
            recipe ? *recipe->predicted_kl : std::numeric_limits<double>::infinity(), *best_.predicted_kl);
    }

private:
    std::optional<Recipe> fitted(const HeadPruning& heads) const {
        return rows_divide(inputs_.choices(heads)) ? fit_types(inputs_, heads) : std::nullopt;
    }

    /// @returns whether more may be worth a try
    bool try_without(std::size_t n) {
        PruneOrder order = start_;
        for (std::size_t i = 0; i < n; ++i) {
            const std::optional<PruneUnit> unit = order.next();
            if (!unit) return false;
            order.remove(*unit);
        }
        std::optional<Recipe> recipe = fitted(order.heads());
        if (!recipe) return true;
        const double kl = *recipe->predicted_kl;
        if (kl < *best_.predicted_kl) {
            best_ = std::move(*recipe);
            order_ = std::move(order);
            n_ = n;
        }
        return kl <= kHopeless * *best_.predicted_kl;
    }

    const PlanInputs& inputs_;
    PruneOrder start_;
    PruneOrder order_;  ///< of the best plan
    Recipe best_;
    std::size_t n_ = 0;  ///< units that it lacks
};

/// "padded to width 1024"
std::string name_of(const AlignedPlan& plan) {
    return plan.padded.columns ? "input columns padded, matrix by matrix"
                               : "padded to " + padding_text(plan.recipe.padding);
}

/// What decided for the first of `plans`; empty where there was nothing to decide.
std::string why_aligned(const PlanInputs& inputs, const HeadPruning& heads, const std::vector<AlignedPlan>& plans) {
    const AlignedPlan& chosen = plans.front();
    if (inputs.goal.align == Align::kColumns)
        return "rows are padded to whole blocks where a matrix' type wants it, asked for by --align columns";
    if (inputs.goal.align == Align::kPad)
        return chosen.recipe.padding.any() ? name_of(chosen) + ", asked for by --align pad"
                                           : "--align pad: every dimension fills 256-wide blocks, or cannot be padded";
    if (alignments_of(inputs, heads).size() == 1) return "";
    const bool is_padded = chosen.padded.any();
    const auto other =
        std::ranges::find_if(plans, [&](const AlignedPlan& plan) { return plan.padded.any() != is_padded; });
    const double kl = *chosen.recipe.predicted_kl;
    if (is_padded)
        return fmt::format("{}: predicted KL {:.4g} nats per token; {}", name_of(chosen), kl,
                           other == plans.end() ? "without padding nothing fits"
                                                : fmt::format("{:.4g} without", *other->recipe.predicted_kl));
    return fmt::format("not padded: predicted KL {:.4g} nats per token; {}", kl,
                       other == plans.end() ? "no padding fits"
                                            : fmt::format("{:.4g} {}", *other->recipe.predicted_kl, name_of(*other)));
}

/// What fits together with the words on pruning, or else without them.
std::vector<AlignedPlan> plans_after_pruning(const PlanInputs& inputs, const HeadPruning& heads) {
    std::vector<AlignedPlan> plans = aligned_plans(inputs, heads);
    if (!plans.empty()) return plans;
    PlanInputs silent = inputs;
    silent.pruning.clear();
    return aligned_plans(silent, heads);
}

/// The first of `plans`, with the words for what decided between them, where there is room for those.
FittedPlan explained(const PlanInputs& inputs, const HeadPruning& heads, const std::vector<AlignedPlan>& plans) {
    FittedPlan plan{inputs.with(plans.front().padded), heads, plans.front().recipe};
    PlanInputs said = plan.inputs;
    said.alignment = why_aligned(inputs, heads, plans);
    std::optional<Recipe> recipe;
    if (!said.alignment.empty()) recipe = fit_types(said, heads);
    if (recipe) return {said, heads, std::move(*recipe)};
    return plan;
}

void require_stock(const PlanInputs& inputs, const Recipe& recipe) {
    if (inputs.goal.require_stock && !recipe.stock)
        throw Error(ErrorKind::kUsage, fmt::format("plan: stock llama.cpp could not run the output: {}; expected a "
                                                   "form that it runs. --allow-own plans it all the same",
                                                   recipe.stock_reason));
}

/// By `order` where there is one, which `heads` then follow. @returns false where nothing may go any more
bool remove_cheapest(HeadPruning& heads, std::optional<PruneOrder>& order) {
    if (order) {
        const std::optional<PruneUnit> unit = order->next();
        if (!unit) return false;
        order->remove(*unit);
        heads = order->heads();
        return true;
    }
    const std::optional<PruneUnit> unit = heads.cheapest_unit();
    if (unit) heads.remove(*unit);
    return unit.has_value();
}

}  // namespace

std::optional<Recipe> fit_types(const PlanInputs& inputs, const HeadPruning& heads) {
    if (least_bytes(inputs, heads) > limit_bytes(inputs, heads)) return std::nullopt;
    return TypeFit(inputs, heads).run();
}

Recipe fit(const PlanInputs& inputs, HeadPruning heads) {
    return fit_plan(inputs, std::move(heads)).recipe;
}

FittedPlan fit_plan(const PlanInputs& given, HeadPruning heads) {
    PlanInputs inputs = given;
    const bool may_prune = inputs.goal.prune.kind == PruneRequest::Kind::kAuto;
    std::optional<PruneOrder> order;
    if (may_prune && inputs.damage != nullptr) order.emplace(given, heads);
    for (;;) {
        if (std::vector<AlignedPlan> plans = aligned_plans(inputs, heads); !plans.empty()) {
            if (order) {
                const PlanInputs aligned = inputs.with(plans.front().padded);
                PruneSearch search(aligned, *order, plans.front().recipe);
                search.run();
                inputs.pruning = search.reason();
                heads = search.heads();
                plans = plans_after_pruning(inputs, heads);
            }
            FittedPlan plan = explained(inputs, heads, plans);
            require_stock(inputs, plan.recipe);
            require_true_size(inputs.model, plan.recipe);
            return plan;
        }
        if (!may_prune || !remove_cheapest(heads, order)) refuse(inputs, heads);
    }
}

}  // namespace plasticity
