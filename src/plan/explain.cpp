#include "plan/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/units.h"
#include "model/tensor_names.h"
#include "plan/block_matrices.h"

namespace plasticity {
namespace {

std::string type_of(const Recipe& recipe, const TensorId& id) {
    const QuantAssignment* assignment = recipe.assignment_for(hf_name(id));
    return assignment ? ggml_type_name(assignment->type) : "-";
}

double mean_score(const LayerTopology& layer, bool only_kept) {
    double sum = 0;
    std::size_t count = 0;
    for (std::size_t head = 0; head < layer.head_scores.size(); ++head) {
        const bool kept = std::binary_search(layer.retained_head_indices.begin(), layer.retained_head_indices.end(),
                                             static_cast<std::int32_t>(head));
        if (only_kept && !kept) continue;
        sum += layer.head_scores[head];
        ++count;
    }
    return count > 0 ? sum / static_cast<double>(count) : 0;
}

std::string summary(const Recipe& recipe) {
    std::size_t kept = 0, all = 0;
    std::int64_t channels_gone = 0;
    for (const LayerTopology& layer : recipe.topology.layers) {
        if (layer.feed_forward)
            channels_gone += layer.feed_forward->original_channels - layer.feed_forward->n_retained();
        kept += layer.retained_head_indices.size();
        all += layer.head_scores.size();
    }
    std::string text =
        fmt::format("{} → {}, policy {}\n", recipe.base_model, recipe.output_architecture, recipe.policy);
    text += fmt::format("{} of {} query heads kept, {:.2f} % of the parameters removed; {}\n", kept, all,
                        100 * recipe.topology.parameter_reduction, recipe.topology.precision_profile);
    if (channels_gone > 0) text += fmt::format("{} feed-forward channels removed\n", channels_gone);
    if (!recipe.pruning.empty()) text += fmt::format("pruning: {}\n", recipe.pruning);
    if (!recipe.alignment.empty()) text += fmt::format("alignment: {}\n", recipe.alignment);
    if (recipe.equalization > 0) text += fmt::format("channels {}\n", recipe.channels_text());
    if (recipe.padding.any()) text += fmt::format("padded with zeros to {}\n", padding_text(recipe.padding));
    return text + fmt::format("stock llama.cpp: {} ({})\n", recipe.stock ? "yes" : "no", recipe.stock_reason);
}

/// "1280/1536"; "all" where nothing says how many there are.
std::string channels_text(const LayerTopology& layer) {
    return layer.feed_forward
               ? fmt::format("{}/{}", layer.feed_forward->n_retained(), layer.feed_forward->original_channels)
               : "all";
}

std::string layer_table(const Recipe& recipe) {
    const bool has_widths = recipe.prunes_feed_forward();
    std::string text =
        fmt::format("\n{:>5} {:>7} {:>7} {:>6} {:>6}{}  {:<7} {:<7} {:<7} {:<7} {:<7} {:<7} {:<7}\n", "layer", "heads",
                    "KV", "score", "kept", has_widths ? fmt::format(" {:>11}", "channels") : "", "q", "k", "v", "o",
                    "gate", "up", "down");
    for (const LayerTopology& layer : recipe.topology.layers) {
        text += fmt::format("{:>5} {:>7} {:>7} {:>6.3f} {:>6.3f} ", layer.layer_index,
                            fmt::format("{}/{}", layer.num_heads, layer.head_scores.size()), layer.num_kv_heads,
                            mean_score(layer, false), mean_score(layer, true));
        if (has_widths) text += fmt::format("{:>11} ", channels_text(layer));
        for (const TensorRole role : kBlockMatrices) {
            const bool absent = layer.num_heads == 0 && role < TensorRole::kFeedForwardNorm;
            text += fmt::format(" {:<7}", absent ? "-" : type_of(recipe, {role, layer.layer_index}));
        }
        text.erase(text.find_last_not_of(' ') + 1);
        text += '\n';
    }
    text +=
        fmt::format("embedding {}, output {}\n", type_of(recipe, {TensorRole::kTokenEmbedding}),
                    type_of(recipe, {TensorRole::kOutput}) == "-" ? "tied" : type_of(recipe, {TensorRole::kOutput}));
    return text;
}

std::string budget_table(const Recipe& recipe) {
    const Budget& budget = recipe.budget;
    struct Line {
        std::string name;
        std::uint64_t bytes;
    };
    const std::array lines{
        Line{"embedding and output", budget.embedding_bytes},
        Line{"attention", budget.attention_bytes},
        Line{"feed-forward", budget.mlp_bytes},
        Line{"norms and biases", budget.norm_bytes},
        Line{fmt::format("KV cache, {} tokens {}", recipe.context_length, recipe.kv_type), budget.kv_cache_max_bytes},
        Line{"compute", budget.compute_bytes},
        Line{"run time, total", budget.total_bytes},
        Line{"file", budget.file_bytes},
        Line{recipe.device ? "limit of run time: " + recipe.device->label : "limit of the file", budget.limit_bytes},
    };
    std::string text = "\n";
    for (const Line& line : lines)
        text += fmt::format("{:<40} {:>16}  {}\n", line.name, line.bytes, format_bytes(line.bytes));
    return text;
}

std::string reasons(const Recipe& recipe) {
    std::string text = "\n";
    for (const QuantAssignment& assignment : recipe.tensor_quant_map)
        text += fmt::format("{} {}: {}\n", assignment.pattern, ggml_type_name(assignment.type), assignment.reason);
    return text;
}

}  // namespace

std::string explain(const Recipe& recipe) {
    return summary(recipe) + layer_table(recipe) + budget_table(recipe) + reasons(recipe);
}

}  // namespace plasticity
