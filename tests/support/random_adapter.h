#pragma once

#include "artifact/lora_adapter.h"
#include "support/tiny_model.h"

namespace plasticity::test {

/// An adapter of every matrix that can have one, or of some, whose halves are of size `gain`, A's per input channel.
inline LoraAdapter random_adapter(const Architecture& architecture, std::int32_t rank = 3, float gain = 0.2f,
                                  std::span<const TensorRole> roles = lora_roles()) {
    LoraAdapter adapter = empty_adapter(architecture, roles, rank, 6.0);
    for (LoraMatrix& matrix : adapter.matrices) {
        const std::string name = gguf_name(matrix.id);
        matrix.a = uniform_stream(name + ".a", matrix.a.size());
        matrix.b = uniform_stream(name + ".b", matrix.b.size());
        for (float& value : matrix.a) value *= gain;
        for (float& value : matrix.b) value *= gain;
    }
    return adapter;
}

}  // namespace plasticity::test
