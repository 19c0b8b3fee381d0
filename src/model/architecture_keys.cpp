#include "model/architecture_keys.h"

#include <fmt/format.h>

#include <limits>

#include "model/attempt.h"

namespace plasticity {
namespace {

std::int32_t to_int32(std::string_view key, std::int64_t value) {
    if (value < std::numeric_limits<std::int32_t>::min() || value > std::numeric_limits<std::int32_t>::max())
        throw Error(ErrorKind::kMalformed, fmt::format("{}: got {}, which no model can have", key, value));
    return static_cast<std::int32_t>(value);
}

}  // namespace

std::string ArchitectureKeys::key(std::string_view name) const {
    return fmt::format("{}.{}", prefix_, name);
}

std::int32_t ArchitectureKeys::count(std::string_view name) const {
    std::int32_t value = 0;
    attempt(problems_, [&] { value = to_int32(key(name), metadata_.integer(key(name))); });
    return value;
}

std::int32_t ArchitectureKeys::count_or(std::string_view name, std::int32_t fallback) const {
    return contains(name) ? count(name) : fallback;
}

float ArchitectureKeys::real(std::string_view name) const {
    double value = 0;
    attempt(problems_, [&] { value = metadata_.real(key(name)); });
    return static_cast<float>(value);
}

float ArchitectureKeys::real_or(std::string_view name, double fallback) const {
    double value = fallback;
    attempt(problems_, [&] { value = metadata_.real_or(key(name), fallback); });
    return static_cast<float>(value);
}

std::string ArchitectureKeys::text_or(std::string_view name, std::string_view fallback) const {
    std::string value(fallback);
    attempt(problems_, [&] { value = metadata_.text_or(key(name), fallback); });
    return value;
}

std::vector<std::int32_t> ArchitectureKeys::per_layer(std::string_view name, std::size_t n_layer) const {
    std::vector<std::int32_t> counts(n_layer, 0);
    attempt(problems_, [&] {
        const std::vector<std::int64_t> values = metadata_.integers_per_layer(key(name), n_layer);
        for (std::size_t i = 0; i < n_layer; ++i) counts[i] = to_int32(key(name), values.at(i));
    });
    return counts;
}

void ArchitectureKeyWriter::set(std::string_view name, GgufValue value) const {
    metadata_.set(fmt::format("{}.{}", prefix_, name), std::move(value));
}

void ArchitectureKeyWriter::set_count(std::string_view name, std::int32_t value) const {
    set(name, static_cast<std::uint32_t>(value));
}

}  // namespace plasticity
