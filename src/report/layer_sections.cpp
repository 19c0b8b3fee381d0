#include <fmt/format.h>
#include <ggml.h>

#include <algorithm>
#include <array>
#include <map>

#include "artifact/type_names.h"
#include "model/tensor_names.h"
#include "report/frontier_plot.h"
#include "report/markup.h"
#include "report/page_sections.h"
#include "report/score_map.h"

namespace plasticity {
namespace {

struct GridColumn {
    std::string_view name;
    TensorRole role;
    TensorRole of_experts;  ///< in mixtures of experts
};

constexpr std::array kGridColumns{GridColumn{"q", TensorRole::kQuery, TensorRole::kQuery},
                                  GridColumn{"k", TensorRole::kKey, TensorRole::kKey},
                                  GridColumn{"v", TensorRole::kValue, TensorRole::kValue},
                                  GridColumn{"o", TensorRole::kAttentionOutput, TensorRole::kAttentionOutput},
                                  GridColumn{"gate", TensorRole::kGate, TensorRole::kExpertGates},
                                  GridColumn{"up", TensorRole::kUp, TensorRole::kExpertUps},
                                  GridColumn{"down", TensorRole::kDown, TensorRole::kExpertDowns}};

/// The type that a recipe gives a matrix: of the first pattern that has its name.
const QuantAssignment* assignment_of(const Recipe& recipe, const GridColumn& column, int layer) {
    const QuantAssignment* found = recipe.assignment_for(hf_name({column.role, layer}));
    return found != nullptr ? found : recipe.assignment_for(hf_name({column.of_experts, layer}));
}

using TypeCounts = std::map<ggml_type, int>;

/// How many matrices of the blocks have each type.
TypeCounts count_types(const Recipe& recipe) {
    TypeCounts counts;
    for (const LayerTopology& layer : recipe.topology.layers)
        for (const GridColumn& column : kGridColumns)
            if (const QuantAssignment* found = assignment_of(recipe, column, layer.layer_index)) ++counts[found->type];
    return counts;
}

/// Colours from the coarsest type of the blocks to the finest, none too deep to read what stands on it.
class TypeShades {
public:
    explicit TypeShades(const TypeCounts& counts) {
        for (const auto& [type, count] : counts) {
            fewest_bits_ = std::min(fewest_bits_, bits_per_weight(type));
            most_bits_ = std::max(most_bits_, bits_per_weight(type));
        }
    }

    /// Class and colour of an element that names the type.
    std::string attributes(ggml_type type) const {
        const double bits = std::clamp(bits_per_weight(type), fewest_bits_, most_bits_);
        const double share = most_bits_ > fewest_bits_ ? (bits - fewest_bits_) / (most_bits_ - fewest_bits_) : 0.5;
        return fmt::format("class=\"type\" style=\"--depth:{:.0f}%\"", 8 + 37 * share);
    }

private:
    double fewest_bits_ = bits_per_weight(GGML_TYPE_F32), most_bits_ = 0;
};

std::string type_cell(const QuantAssignment* assignment, const TypeShades& shades) {
    if (assignment == nullptr) return "<td class=\"type\">–</td>";
    return fmt::format("<td {}>{}</td>", shades.attributes(assignment->type), ggml_type_name(assignment->type));
}

std::string type_mark(ggml_type type, const TypeShades& shades) {
    return fmt::format("<span {}>{}</span>", shades.attributes(type), ggml_type_name(type));
}

/// "5/9" where some went.
std::string kept_of(std::int32_t kept, std::int32_t of) {
    return kept == of ? fmt::format("{}", of) : fmt::format("<b>{}</b>/{}", kept, of);
}

std::string layer_row(const Recipe& recipe, const LayerTopology& layer, const TypeShades& shades) {
    std::string row = fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td>", layer.layer_index,
                                  kept_of(layer.num_heads, recipe.topology.original_num_heads),
                                  kept_of(layer.num_kv_heads, recipe.topology.original_num_kv_heads));
    if (recipe.prunes_feed_forward())
        row += fmt::format("<td>{}</td>", layer.feed_forward ? kept_of(layer.feed_forward->n_retained(),
                                                                       layer.feed_forward->original_channels)
                                                             : "all");
    for (const GridColumn& column : kGridColumns)
        row += layer.num_heads == 0 && is_attention(column.role)
                   ? type_cell(nullptr, shades)
                   : type_cell(assignment_of(recipe, column, layer.layer_index), shades);
    return row + "</tr>\n";
}

/// Types from the finest to the coarsest; then those of the matrices outside the blocks.
std::string type_legend(const Recipe& recipe, const TypeCounts& counts, const TypeShades& shades) {
    std::vector<std::pair<ggml_type, int>> order(counts.begin(), counts.end());
    std::ranges::stable_sort(order, std::ranges::greater(),
                             [](const auto& item) { return bits_per_weight(item.first); });
    std::string html = "<ul class=\"legend\">\n";
    for (const auto& [type, count] : order)
        html += fmt::format("<li>{} {:.4g} bits per weight, {} matrices</li>\n", type_mark(type, shades),
                            bits_per_weight(type), count);
    for (const auto& [name, role] :
         {std::pair{"embedding", TensorRole::kTokenEmbedding}, {"output", TensorRole::kOutput}})
        if (const QuantAssignment* found = recipe.assignment_for(hf_name({role})))
            html += fmt::format("<li>{} {}, {:.4g} bits per weight</li>\n", type_mark(found->type, shades), name,
                                bits_per_weight(found->type));
    return html + "</ul>\n";
}

}  // namespace

std::string heads_section(const RunRecord& record) {
    const Topology& topology = record.recipe.topology;
    if (std::ranges::all_of(topology.layers, [](const LayerTopology& layer) { return layer.head_scores.empty(); }))
        return "";
    std::string body =
        "<p>A head's score is the mean of |∂L/∂gate| over the task's examples, as a share of the 99th percentile. The "
        "deeper the colour, the more the task uses the head.</p>\n";
    body += scrolling("Heat map of head scores", kept_heads_svg(topology));
    if (!record.recipe.pruning.empty()) body += fmt::format("<p>{}</p>\n", markup_escaped(record.recipe.pruning));
    return page_section("heads", "Heads", body);
}

std::string types_section(const RunRecord& record) {
    const Recipe& recipe = record.recipe;
    const TypeCounts counts = count_types(recipe);
    const TypeShades shades(counts);
    std::string table =
        "<table class=\"grid\">\n<caption>The type of every matrix; deeper colours have more "
        "bits</caption>\n<thead><tr>"
        "<th scope=\"col\">layer</th><th scope=\"col\">heads</th><th scope=\"col\">KV</th>";
    if (recipe.prunes_feed_forward()) table += "<th scope=\"col\">channels</th>";
    for (const GridColumn& column : kGridColumns) table += fmt::format("<th scope=\"col\">{}</th>", column.name);
    table += "</tr></thead>\n<tbody>\n";
    for (const LayerTopology& layer : recipe.topology.layers) table += layer_row(recipe, layer, shades);
    table += "</tbody>\n</table>\n";
    return page_section("types", "Types",
                        type_legend(recipe, counts, shades) + scrolling("Types of all layers", table));
}

std::string frontier_section(const RunRecord& record) {
    if (!record.frontier || record.frontier->points.empty()) return "";
    return page_section("frontier", "Frontier",
                        scrolling("Divergence against size", frontier_svg(*record.frontier)) +
                            fmt::format("<p>Recommended: {}</p>\n", markup_escaped(record.frontier->reason)));
}

}  // namespace plasticity
