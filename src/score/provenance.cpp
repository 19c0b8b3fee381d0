#include "score/provenance.h"

#include <fmt/format.h>

#include <map>
#include <type_traits>

#include "core/hash.h"

namespace plasticity {
namespace {

template <typename T>
void add_scalar(Sha256& hash, const T& value) {
    if constexpr (std::is_same_v<T, std::string>)
        hash.update(fmt::format("{}:{}", value.size(), value));
    else
        hash.update(fmt::format("{} ", value));
}

void add_value(Sha256& hash, const GgufValue& value) {
    std::visit(
        [&]<typename T>(const T& held) {
            if constexpr (std::is_same_v<T, GgufArray>)
                std::visit(
                    [&]<typename E>(const std::vector<E>& elements) {
                        hash.update(fmt::format("[{}]", elements.size()));
                        for (const E& element : elements) add_scalar<E>(hash, element);
                    },
                    held);
            else
                add_scalar(hash, held);
        },
        value);
}

}  // namespace

std::string tokenizer_sha256(const GgufMetadata& tokenizer) {
    std::map<std::string_view, const GgufValue*> sorted;
    for (const auto& [key, value] : tokenizer.entries()) sorted.emplace(key, &value);
    Sha256 hash;
    for (const auto& [key, value] : sorted) {
        hash.update(fmt::format("{}=", key));
        add_value(hash, *value);
    }
    return hash.finish();
}

}  // namespace plasticity
