#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "io/gguf_writer.h"

namespace plasticity {

/// One row of `length` doubles: sums that merge exactly.
inline GgufTensorSpec f64_row(std::string name, std::size_t length) {
    return {.name = std::move(name),
            .type = GGML_TYPE_F64,
            .n_dims = 1,
            .dims = {static_cast<std::int64_t>(length), 1, 1, 1}};
}

}  // namespace plasticity
