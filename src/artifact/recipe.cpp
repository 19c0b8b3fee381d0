#include "artifact/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "io/problem_list.h"

namespace plasticity {
namespace {

constexpr std::array kAttentionMatrices{TensorRole::kQuery, TensorRole::kKey, TensorRole::kValue,
                                        TensorRole::kAttentionOutput};
constexpr std::array kFeedForwardMatrices{TensorRole::kGate, TensorRole::kUp, TensorRole::kDown};
constexpr std::array kExpertMatrices{TensorRole::kExpertGates, TensorRole::kExpertUps, TensorRole::kExpertDowns};

bool ascending_below(const std::vector<std::int32_t>& indices, std::int32_t limit) {
    std::int32_t previous = -1;
    for (const std::int32_t index : indices) {
        if (index <= previous || index >= limit) return false;
        previous = index;
    }
    return true;
}

/// Retained heads of every retained KV group; empty when a retained head belongs to a group that is gone.
std::vector<std::int32_t> heads_per_group(const LayerTopology& topology, const LayerGeometry& base) {
    const std::int32_t group_size = base.n_head / base.n_head_kv;
    const auto& groups = topology.retained_kv_head_indices;
    std::vector<std::int32_t> counts(groups.size(), 0);
    for (const std::int32_t head : topology.retained_head_indices) {
        const auto found = std::find(groups.begin(), groups.end(), head / group_size);
        if (found == groups.end()) return {};
        ++counts[static_cast<std::size_t>(found - groups.begin())];
    }
    return counts;
}

void check_layer(const LayerTopology& topology, const LayerGeometry& base, std::size_t index, ProblemList& problems) {
    const auto report = [&](const std::string& what) {
        problems.add(fmt::format("topology, layer {}: {}", index, what));
    };
    if (topology.layer_index != static_cast<std::int32_t>(index))
        report(fmt::format("layerIndex is {}; expected {}", topology.layer_index, index));
    if (topology.head_scores.size() != static_cast<std::size_t>(base.n_head))
        report(fmt::format("{} head scores; the model's layer has {} heads", topology.head_scores.size(), base.n_head));
    const bool counts_agree =
        topology.retained_head_indices.size() == static_cast<std::size_t>(topology.num_heads) &&
        topology.retained_kv_head_indices.size() == static_cast<std::size_t>(topology.num_kv_heads);
    if (!counts_agree) return report("numHeads and numKvHeads disagree with the number of retained indices");
    if (!ascending_below(topology.retained_head_indices, base.n_head) ||
        !ascending_below(topology.retained_kv_head_indices, base.n_head_kv))
        return report(fmt::format("retained indices; expected ascending ones below {} heads and {} KV heads",
                                  base.n_head, base.n_head_kv));
    if ((topology.num_heads == 0) != (topology.num_kv_heads == 0))
        return report(fmt::format("{} heads on {} KV heads; expected none of both or some of both", topology.num_heads,
                                  topology.num_kv_heads));
    if (topology.num_heads == 0) return;
    const auto counts = heads_per_group(topology, base);
    if (counts.empty()) return report("a retained head belongs to a KV head that is removed");
    if (std::any_of(counts.begin(), counts.end(), [&](std::int32_t count) { return count != counts.front(); }))
        report("KV heads keep different numbers of query heads; attention needs the same number for each");
}

void check_feed_forward(const LayerTopology& topology, const Architecture& base, std::size_t index,
                        ProblemList& problems) {
    if (!topology.feed_forward) return;
    const auto report = [&](const std::string& what) {
        problems.add(fmt::format("topology, layer {}: feedForward: {}", index, what));
    };
    const std::int32_t width = base.layers[index].n_ff;
    if (base.experts.count > 0) report("the model is a mixture of experts, whose channels are not pruned");
    if (topology.feed_forward->original_channels != width)
        report(fmt::format("is of {} channels; the model's layer has {}", topology.feed_forward->original_channels,
                           width));
    if (const std::string problem = problem_of(*topology.feed_forward); !problem.empty()) report(problem);
}

void check_assignments(const Recipe& recipe, const Architecture& architecture, ProblemList& problems) {
    const auto require = [&](const TensorId& id) {
        if (!recipe.assignment_for(hf_name(id)))
            problems.add(fmt::format("tensorQuantMap: no pattern matches {}", hf_name(id)));
    };
    require({TensorRole::kTokenEmbedding});
    if (!architecture.tied_embeddings) require({TensorRole::kOutput});
    for (int layer = 0; layer < architecture.n_layer(); ++layer) {
        if (recipe.topology.layers[static_cast<std::size_t>(layer)].num_heads > 0)
            for (const TensorRole role : kAttentionMatrices) require({role, layer});
        for (const TensorRole role : architecture.experts.count > 0 ? kExpertMatrices : kFeedForwardMatrices)
            require({role, layer});
    }
}

/// What pads the columns of single matrices runs in this program only.
void check_padded_columns(const Recipe& recipe, const Architecture& architecture, ProblemList& problems) {
    if (!recipe.pads_columns()) return;
    if (recipe.stock)
        problems.add(
            "stock is true; expected false where tensorQuantMap has paddedColumns, which stock llama.cpp "
            "refuses");
    if (architecture.experts.count > 0)
        problems.add(
            fmt::format("tensorQuantMap: paddedColumns in a {}; expected none in a mixture of experts, which "
                        "this program does not run",
                        architecture.name));
}

}  // namespace

const QuantAssignment* Recipe::assignment_for(std::string_view hf_name) const {
    for (const QuantAssignment& assignment : tensor_quant_map)
        if (glob_matches(assignment.pattern, hf_name)) return &assignment;
    return nullptr;
}

bool Recipe::prunes() const {
    return prunes_feed_forward() ||
           std::any_of(topology.layers.begin(), topology.layers.end(), [](const LayerTopology& layer) {
               return static_cast<std::size_t>(layer.num_heads) < layer.head_scores.size();
           });
}

bool Recipe::prunes_feed_forward() const {
    return std::ranges::any_of(topology.layers,
                               [](const LayerTopology& layer) { return layer.feed_forward.has_value(); });
}

bool Recipe::pads_columns() const {
    return std::ranges::any_of(tensor_quant_map, [](const QuantAssignment& entry) { return entry.padded_columns > 0; });
}

std::string Recipe::channels_text() const {
    return equalization > 0 ? fmt::format("scaled by what they carry, strength {}", equalization) : "";
}

bool glob_matches(std::string_view glob, std::string_view name) {
    // Only the last `*` needs to be taken up again: what an earlier one could swallow, a later one can too.
    constexpr std::size_t kNone = std::string_view::npos;
    std::size_t g = 0, n = 0, star = kNone, swallowed_to = 0;
    while (n < name.size()) {
        if (g < glob.size() && glob[g] == '*') {
            star = g++;
            swallowed_to = n;
        } else if (g < glob.size() && (glob[g] == '?' || glob[g] == name[n])) {
            ++g, ++n;
        } else if (star != kNone) {
            g = star + 1;
            n = ++swallowed_to;
        } else {
            return false;
        }
    }
    while (g < glob.size() && glob[g] == '*') ++g;
    return g == glob.size();
}

Architecture kept_architecture(const Recipe& recipe, const Architecture& base) {
    Architecture kept = base;
    for (std::size_t layer = 0; layer < kept.layers.size(); ++layer) {
        kept.layers[layer].n_head = recipe.topology.layers[layer].num_heads;
        kept.layers[layer].n_head_kv = recipe.topology.layers[layer].num_kv_heads;
        if (const auto& feed_forward = recipe.topology.layers[layer].feed_forward)
            kept.layers[layer].n_ff = feed_forward->n_retained();
    }
    return kept;
}

void require_recipe_fits(const Recipe& recipe, const Architecture& architecture, std::string_view where) {
    ProblemList problems{std::string(where)};
    const auto& layers = recipe.topology.layers;
    if (layers.size() != architecture.layers.size()) {
        problems.add(fmt::format("topology has {} layers; the model \"{}\" has {}. Is the recipe for another model?",
                                 layers.size(), architecture.model_name, architecture.layers.size()));
        problems.throw_if_any();
    }
    std::int32_t heads = 0, kv_heads = 0;
    for (std::size_t i = 0; i < layers.size(); ++i) {
        check_layer(layers[i], architecture.layers[i], i, problems);
        check_feed_forward(layers[i], architecture, i, problems);
        heads = std::max(heads, architecture.layers[i].n_head);
        kv_heads = std::max(kv_heads, architecture.layers[i].n_head_kv);
    }
    if (recipe.topology.original_num_heads != heads || recipe.topology.original_num_kv_heads != kv_heads ||
        recipe.topology.head_dim != architecture.head_dim)
        problems.add(fmt::format("topology is for {} heads, {} KV heads of {} dimensions; the model has {}, {} and {}",
                                 recipe.topology.original_num_heads, recipe.topology.original_num_kv_heads,
                                 recipe.topology.head_dim, heads, kv_heads, architecture.head_dim));
    check_assignments(recipe, architecture, problems);
    check_padding(kept_architecture(recipe, architecture), recipe.padding, problems);
    check_padded_columns(recipe, architecture, problems);
    problems.throw_if_any();
}

}  // namespace plasticity
