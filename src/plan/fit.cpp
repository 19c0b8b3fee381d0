#include "plan/fit.h"

#include <fmt/format.h>

#include <optional>

#include "artifact/output_layout.h"
#include "artifact/type_names.h"
#include "core/checked.h"
#include "core/error.h"
#include "core/units.h"
#include "plan/file_size.h"
#include "plan/type_fitting.h"

namespace plasticity {
namespace {

/// More rounds would mean that the recipe's own length keeps growing, which its bounded reasons rule out.
constexpr int kMaxRounds = 16;

/// One topology: types are fitted, heads stay as they are.
class TypeFit {
public:
    TypeFit(const PlanInputs& inputs, const HeadPruning& heads)
        : inputs_(inputs),
          heads_(heads),
          limit_(limit_bytes(inputs, heads)),
          sizer_(inputs.model),
          choices_(start_choices(inputs.model, heads, inputs.goal)) {}

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
        if (beside > limit_ || !demote_until_fits(choices_, limit_ - beside)) return std::nullopt;
        return settled_draft();
    }

    std::optional<Recipe> fit_file() {
        Recipe recipe = settled_draft();
        std::uint64_t beside = recipe.budget.file_bytes - stored_bytes(choices_);
        for (int round = 0; round < kMaxRounds && beside <= limit_; ++round) {
            for (MatrixChoice& choice : choices_) choice.level = choice.start;
            if (!demote_until_fits(choices_, limit_ - beside)) return std::nullopt;
            Promoter promoter(choices_);
            promoter.promote_within(limit_ - beside);
            recipe = settled_draft();
            if (recipe.budget.file_bytes <= limit_) return polish(promoter, std::move(recipe));
            beside += recipe.budget.file_bytes - limit_;
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
    std::vector<MatrixChoice> choices = start_choices(inputs.model, heads, inputs.goal);
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

}  // namespace

Recipe fit(const PlanInputs& inputs, HeadPruning heads) {
    const bool may_prune = inputs.goal.prune.kind == PruneRequest::Kind::kAuto;
    for (;;) {
        if (least_bytes(inputs, heads) <= limit_bytes(inputs, heads)) {
            if (std::optional<Recipe> recipe = TypeFit(inputs, heads).run()) {
                require_true_size(inputs.model, *recipe);
                return *recipe;
            }
        }
        const std::optional<PruneUnit> unit = may_prune ? heads.cheapest_unit() : std::nullopt;
        if (!unit) refuse(inputs, heads);
        heads.remove(*unit);
    }
}

}  // namespace plasticity
