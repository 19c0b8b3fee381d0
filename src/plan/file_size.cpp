#include "plan/file_size.h"

#include <algorithm>

#include "artifact/output_layout.h"
#include "core/checked.h"

namespace plasticity {
namespace {

bool quantises(const Recipe& recipe) {
    return std::any_of(recipe.tensor_quant_map.begin(), recipe.tensor_quant_map.end(),
                       [](const QuantAssignment& assignment) { return ggml_is_quantized(assignment.type); });
}

/// Header bytes before padding. The layout only tells them padded: the text that just spills over shows where it was.
std::uint64_t unpadded_header_bytes(GgufLayout& file, std::uint64_t text_bytes) {
    const std::uint64_t padded = file.header_bytes();
    std::uint64_t fits = 0, spills = file.alignment;
    while (spills - fits > 1) {
        const std::uint64_t more = (fits + spills) / 2;
        file.metadata.set(kRecipeKey, std::string(text_bytes + more, ' '));
        (file.header_bytes() == padded ? fits : spills) = more;
    }
    return padded - fits;
}

}  // namespace

FileSizer::Frame FileSizer::measure(const Recipe& recipe) const {
    OutputLayout layout = lay_out(model_, recipe, {});
    Frame frame;
    frame.alignment = layout.file.alignment;
    for (const OutputTensor& tensor : layout.tensors)
        if (!is_matrix(tensor.source->id)) frame.vector_bytes += align_up(tensor.spec.bytes(), frame.alignment);
    const std::uint64_t text_bytes = recipe_to_json(recipe).size();
    frame.header_bytes = unpadded_header_bytes(layout.file, text_bytes) - text_bytes;
    return frame;
}

const FileSizer::Frame& FileSizer::frame_for(const Recipe& recipe) {
    const Keys keys{quantises(recipe), recipe.pads_columns()};
    const auto known = frames_.find(keys);
    return known != frames_.end() ? known->second : frames_.emplace(keys, measure(recipe)).first->second;
}

std::uint64_t FileSizer::settle(Recipe& recipe, std::uint64_t matrix_bytes) {
    const Frame& frame = frame_for(recipe);
    // The size is part of the text that it counts: a number with more digits makes a file that is no smaller, so this
    // climbs to a fixed point within a few rounds.
    recipe.budget.file_bytes = frame.header_bytes + frame.vector_bytes + matrix_bytes;
    for (;;) {
        const std::uint64_t text_bytes = recipe_to_json(recipe).size();
        const std::uint64_t bytes =
            align_up(frame.header_bytes + text_bytes, frame.alignment) + frame.vector_bytes + matrix_bytes;
        if (bytes == recipe.budget.file_bytes) return bytes;
        recipe.budget.file_bytes = bytes;
    }
}

}  // namespace plasticity
