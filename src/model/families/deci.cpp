#include "model/family.h"

// What a llama or qwen2 becomes when blocks differ: heads and widths for each block. Read from GGUF only; the folders
// of its namesake (Nemotron-NAS) say their geometry in another way. Source: llama.cpp, src/models/deci.cpp.

namespace plasticity::families {

const Family& deci() {
    static const Family family{
        .name = "Deci",
        .gguf = "deci",
        .form = "deci",
        .gguf_rope_layout = RopeLayout::kNorm,
        .per_layer_counts = true,
        .export_type = "llama",
        .biased_export_type = "qwen2",
    };
    return family;
}

}  // namespace plasticity::families
