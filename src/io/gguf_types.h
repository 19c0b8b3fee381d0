#pragma once

#include <ggml.h>
#include <gguf.h>

#include <array>
#include <cstdint>
#include <string>
#include <type_traits>

#include "io/gguf_metadata.h"

namespace plasticity {

// What reader and writer share about GGUF's value types and tensor sizes. ggml is asked for names and block sizes.

static_assert(std::variant_size_v<GgufValue> == GGUF_TYPE_COUNT, "index() of a GgufValue is the type number");

/// Type number of the elements of an array: GgufArray leaves out GGUF_TYPE_ARRAY itself.
inline gguf_type gguf_element_type(const GgufArray& array) {
    const auto index = static_cast<int>(array.index());
    return static_cast<gguf_type>(index < GGUF_TYPE_ARRAY ? index : index + 1);
}

/// "u32", "array of str": a value's type for messages.
std::string gguf_type_text(const GgufValue& value);

/// Bytes of a tensor as stored, or why there can be no such tensor.
struct GgufStoredSize {
    std::uint64_t bytes = 0;
    std::string problem;  ///< empty when all is well
};

/// @param type  as read from a file, so perhaps no type at all
/// @param dims  GGUF's order; those beyond n_dims must be 1
GgufStoredSize gguf_stored_size(std::int64_t type, std::int64_t n_dims, const std::array<std::int64_t, 4>& dims);

/// Alignments that are accepted: powers of two in [8, 2^16]. The format asks for a multiple of 8.
constexpr bool is_gguf_alignment(std::uint64_t alignment) {
    return alignment >= 8 && alignment <= 65536 && (alignment & (alignment - 1)) == 0;
}

inline constexpr const char* kGgufAlignmentKey = GGUF_KEY_GENERAL_ALIGNMENT;

/// Calls f with std::type_identity<T> for the C++ type of a scalar GGUF type.
/// @return false when `type` is not a scalar's number
template <typename F>
bool with_gguf_scalar(std::uint32_t type, F&& f) {
    switch (type) {
        case GGUF_TYPE_UINT8:
            f(std::type_identity<std::uint8_t>{});
            return true;
        case GGUF_TYPE_INT8:
            f(std::type_identity<std::int8_t>{});
            return true;
        case GGUF_TYPE_UINT16:
            f(std::type_identity<std::uint16_t>{});
            return true;
        case GGUF_TYPE_INT16:
            f(std::type_identity<std::int16_t>{});
            return true;
        case GGUF_TYPE_UINT32:
            f(std::type_identity<std::uint32_t>{});
            return true;
        case GGUF_TYPE_INT32:
            f(std::type_identity<std::int32_t>{});
            return true;
        case GGUF_TYPE_FLOAT32:
            f(std::type_identity<float>{});
            return true;
        case GGUF_TYPE_BOOL:
            f(std::type_identity<bool>{});
            return true;
        case GGUF_TYPE_STRING:
            f(std::type_identity<std::string>{});
            return true;
        case GGUF_TYPE_UINT64:
            f(std::type_identity<std::uint64_t>{});
            return true;
        case GGUF_TYPE_INT64:
            f(std::type_identity<std::int64_t>{});
            return true;
        case GGUF_TYPE_FLOAT64:
            f(std::type_identity<double>{});
            return true;
        default:
            return false;
    }
}

}  // namespace plasticity
