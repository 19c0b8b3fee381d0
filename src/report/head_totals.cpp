#include "report/head_totals.h"

namespace plasticity {

HeadTotals count_heads(const Topology& topology) {
    HeadTotals totals;
    for (const LayerTopology& layer : topology.layers) {
        totals.kept += layer.num_heads;
        totals.of += topology.original_num_heads;
        totals.kv_kept += layer.num_kv_heads;
        totals.kv_of += topology.original_num_kv_heads;
        totals.layers_touched += layer.num_heads < topology.original_num_heads ? 1 : 0;
    }
    return totals;
}

}  // namespace plasticity
