#include "io/dequantize.h"

#include <ggml-cpu.h>

#include <cstdint>
#include <cstring>

namespace plasticity {
namespace {

/// ggml's own row functions for F16 and BF16 take a weight at a time; its CPU device has them with the processor's
/// vectors, and where that lacks F16, with a table that it fills first.
template <typename Half>
void widen(void (*convert)(const Half*, float*, std::int64_t), std::span<const std::byte> stored,
           std::span<float> values) {
    [[maybe_unused]] static const bool has_tables = (ggml_cpu_init(), true);
    convert(reinterpret_cast<const Half*>(stored.data()), values.data(), std::ssize(values));
}

}  // namespace

void dequantize(ggml_type type, std::span<const std::byte> stored, std::span<float> values) {
    if (type == GGML_TYPE_F32)
        std::memcpy(values.data(), stored.data(), values.size_bytes());
    else if (type == GGML_TYPE_F16)
        widen(ggml_cpu_fp16_to_fp32, stored, values);
    else if (type == GGML_TYPE_BF16)
        widen(ggml_cpu_bf16_to_fp32, stored, values);
    else
        ggml_get_type_traits(type)->to_float(stored.data(), values.data(), std::ssize(values));
}

}  // namespace plasticity
