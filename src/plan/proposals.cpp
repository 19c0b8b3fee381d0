#include "plan/proposals.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace plasticity {
namespace {

constexpr double kSpread = 0.3;
constexpr double kFactor = 1.5;

/// Matrices that may be mispredicted together.
struct MatrixGroup {
    std::string name;
    std::vector<const ModelTensor*> members;
};

/// "attn_v" of "blk.3.attn_v.weight".
std::string role_of(const std::string& name) {
    const std::size_t end = name.rfind('.');
    const std::size_t begin = name.rfind('.', end - 1);
    return name.substr(begin == std::string::npos ? 0 : begin + 1, end - (begin == std::string::npos ? 0 : begin + 1));
}

/// Roles, blocks, single matrices; each set once.
std::vector<MatrixGroup> groups_of(const Model& model) {
    std::map<std::string, MatrixGroup> roles, singles;
    std::map<int, MatrixGroup> blocks;
    for (const ModelTensor& matrix : model.tensors()) {
        if (!is_matrix(matrix.id)) continue;
        const auto add = [&](MatrixGroup& group, const std::string& name) {
            group.name = name;
            group.members.push_back(&matrix);
        };
        add(roles[role_of(matrix.name)], role_of(matrix.name));
        if (matrix.id.layer >= 0) add(blocks[matrix.id.layer], fmt::format("block {}", matrix.id.layer));
        add(singles[matrix.name], matrix.name);
    }
    std::vector<MatrixGroup> groups;
    for (const auto& [key, group] : roles) groups.push_back(group);
    for (const auto& [key, group] : blocks)
        if (group.members.size() > 1) groups.push_back(group);
    for (const auto& [key, group] : singles)
        if (roles.at(role_of(key)).members.size() > 1) groups.push_back(group);
    return groups;
}

double expected_gain(double loss, double moved) {
    const double spread = kSpread * moved;
    if (!(spread > 0)) return 0;
    const double z = std::max(loss, 0.0) / spread;
    const double density = std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi);
    return spread * density - std::max(loss, 0.0) * 0.5 * std::erfc(z / std::numbers::sqrt2);
}

/// Damages of a recipe's matrices, by prediction.
class Damages {
public:
    Damages(const PlanInputs& inputs, const HeadPruning& heads, const Recipe& recipe) {
        for (MatrixChoice& choice : inputs.choices(heads)) {
            const ggml_type type = recipe.assignment_for(hf_name(choice.id))->type;
            const auto at = std::ranges::find(choice.ladder, type);
            if (at != choice.ladder.end())
                of_[gguf_name(choice.id)] =
                    choice.weighed_damage_at(static_cast<std::size_t>(at - choice.ladder.begin()));
        }
    }

    double of(const std::string& name) const {
        const auto found = of_.find(name);
        return found != of_.end() ? found->second : 0;
    }
    double sum() const {
        double sum = 0;
        for (const auto& [name, damage] : of_) sum += damage;
        return sum;
    }

private:
    std::map<std::string, double> of_;
};

}  // namespace

std::string types_text(const Recipe& recipe, const Model& model) {
    std::string text;
    for (const ModelTensor& matrix : model.tensors()) {
        if (!is_matrix(matrix.id)) continue;
        const QuantAssignment* assignment = recipe.assignment_for(hf_name(matrix.id));
        text += fmt::format("{} ", assignment != nullptr ? static_cast<int>(assignment->type) : -1);
    }
    return text;
}

std::vector<Proposal> propose(const PlanInputs& inputs, const HeadPruning& heads, const Recipe& current) {
    const Damages before(inputs, heads, current);
    std::vector<Proposal> proposals;
    for (const MatrixGroup& group : groups_of(inputs.model))
        for (const double factor : {kFactor, 1 / kFactor}) {
            TrialFindings findings = *inputs.findings;
            for (const ModelTensor* member : group.members)
                findings.weights.try_emplace(member->name, 1.0).first->second *= factor;
            PlanInputs changed = inputs;
            changed.findings = &findings;
            std::optional<Recipe> recipe = fit_types(changed, heads);
            if (!recipe) continue;
            const Damages after(inputs, heads, *recipe);
            double moved = 0;
            for (const ModelTensor* member : group.members) moved += after.of(member->name) - before.of(member->name);
            const double gain = expected_gain(after.sum() - before.sum(), std::abs(moved));
            if (gain > 0)
                proposals.push_back({fmt::format("{} counts × {:.3g}", group.name, factor), std::move(findings.weights),
                                     std::move(*recipe), gain});
        }
    std::ranges::stable_sort(proposals, std::greater<>(), &Proposal::expected_gain);
    return proposals;
}

}  // namespace plasticity
