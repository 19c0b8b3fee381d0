#include "io/gguf_types.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>

#include "core/checked.h"

namespace plasticity {
namespace {

std::string shape_text(std::int64_t n_dims, const std::array<std::int64_t, 4>& dims) {
    return fmt::format("[{}]", fmt::join(dims.begin(), dims.begin() + n_dims, ", "));
}

}  // namespace

std::string gguf_type_text(const GgufValue& value) {
    if (const auto* array = std::get_if<GgufArray>(&value))
        return fmt::format("array of {}", gguf_type_name(gguf_element_type(*array)));
    return gguf_type_name(static_cast<gguf_type>(value.index()));
}

GgufStoredSize gguf_stored_size(std::int64_t type, std::int64_t n_dims, const std::array<std::int64_t, 4>& dims) {
    if (n_dims < 1 || n_dims > GGML_MAX_DIMS)
        return {0, fmt::format("{} dimensions; expected 1 to {}", n_dims, GGML_MAX_DIMS)};
    const std::string shape = shape_text(n_dims, dims);

    if (type < 0 || type >= GGML_TYPE_COUNT)
        return {0, fmt::format("type {}; expected one of ggml's {}: newer than this program, or damaged", type,
                               static_cast<int>(GGML_TYPE_COUNT))};
    const auto known = static_cast<ggml_type>(type);
    const std::int64_t block = ggml_blck_size(known);
    if (block <= 0 || ggml_type_size(known) == 0) {
        const char* name = ggml_type_name(known);
        return {0, fmt::format("type {} ({}) was removed from the format; convert the model again", type,
                               name == nullptr ? "unnamed" : name)};
    }

    std::uint64_t elements = 1;
    for (std::int64_t i = 0; i < GGML_MAX_DIMS; ++i) {
        const std::int64_t dim = dims[static_cast<std::size_t>(i)];
        if (dim < 1 || (i >= n_dims && dim != 1))
            return {0, fmt::format("shape {}; expected every dimension to be at least 1", shape)};
        const auto product = checked_multiply(elements, static_cast<std::uint64_t>(dim));
        if (!product || *product > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
            return {0, fmt::format("shape {} has 2^63 elements or more", shape)};
        elements = *product;
    }
    if (dims[0] % block != 0)
        return {0, fmt::format("rows of {} elements; expected a multiple of {}, the block of {}", dims[0], block,
                               ggml_type_name(known))};

    const auto bytes = checked_multiply(elements / static_cast<std::uint64_t>(block), ggml_type_size(known));
    if (!bytes) return {0, fmt::format("shape {} takes 2^64 bytes or more", shape)};
    return {*bytes, {}};
}

}  // namespace plasticity
