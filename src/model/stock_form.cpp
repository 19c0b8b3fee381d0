#include "model/stock_form.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/family.h"

namespace plasticity {
namespace {

constexpr std::string_view kPerLayerForm = "deci";

/// The stock loader of the family takes this geometry.
bool own_form_carries(const Family& family, const Architecture& output) {
    if (family.per_layer_counts) return true;
    const LayerGeometry& layer = output.layers.front();
    if (!output.is_uniform() || layer.n_head == 0) return false;
    return !family.heads_fill_embedding || layer.n_head * output.head_dim == output.n_embd;
}

bool same_geometry(const Architecture& a, const Architecture& b) {
    return a.layers == b.layers;
}

bool same_heads(const Architecture& a, const Architecture& b) {
    return std::ranges::equal(a.layers, b.layers, [](const LayerGeometry& one, const LayerGeometry& other) {
        return one.n_head == other.n_head && one.n_head_kv == other.n_head_kv;
    });
}

bool same_widths(const Architecture& architecture) {
    return std::ranges::all_of(architecture.layers, [&](const LayerGeometry& layer) {
        return layer.n_ff == architecture.layers.front().n_ff;
    });
}

}  // namespace

bool deci_carries(const Architecture& architecture) {
    return architecture.features == BlockFeatures{} && architecture.multipliers == Multipliers{} &&
           architecture.window.n_tokens == 0 && architecture.experts.count == 0 &&
           architecture.attention_scale == 0.0f && architecture.n_rot == architecture.head_dim;
}

bool takes_geometry_per_layer(const Architecture& architecture) {
    return family_of(architecture).per_layer_counts || deci_carries(architecture);
}

StockForm stock_form(const Architecture& base, const Architecture& output) {
    const Family& family = family_of(base);
    StockForm own{
        .architecture = std::string(family.form), .rope_layout = family.gguf_rope_layout, .stock = true, .reason = ""};
    if (own_form_carries(family, output)) {
        own.reason = same_geometry(base, output)
                         ? fmt::format("nothing is pruned: written as {}", own.architecture)
                         : fmt::format("written as {}, whose stock loader takes {}", own.architecture,
                                       same_heads(base, output) ? "this feed-forward width" : "these head counts");
        return own;
    }
    if (deci_carries(output)) {
        const Family& deci = *family_of_gguf(kPerLayerForm);
        return {.architecture = std::string(deci.form),
                .rope_layout = deci.gguf_rope_layout,
                .stock = true,
                .reason = same_widths(output)
                              ? "written as deci, whose stock loader takes head counts per layer"
                              : "written as deci, whose stock loader takes head counts and feed-forward widths per "
                                "layer"};
    }
    own.stock = false;
    own.reason = fmt::format(
        "stock {} has one geometry for all blocks, and stock deci, which has one for each, cannot "
        "compute what {} does; this program runs it",
        own.architecture, own.architecture);
    return own;
}

}  // namespace plasticity
