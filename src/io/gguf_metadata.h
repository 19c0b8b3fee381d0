#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace plasticity {

/// An array of GGUF: elements of one scalar type. Arrays of arrays do not exist in practice and are refused.
using GgufArray = std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
                               std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
                               std::vector<float>, std::vector<bool>, std::vector<std::string>,
                               std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<double>>;

/// A value of GGUF. Scalars come in the order of GGUF's type numbers (0 uint8 … 8 string, 9 array, 10 uint64,
/// 11 int64, 12 float64), so index() is the type number. Source: ggml/docs/gguf.md.
using GgufValue = std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t,
                               float, bool, std::string, GgufArray, std::uint64_t, std::int64_t, double>;

/// Key-value pairs in file order. Keys are unique.
class GgufMetadata {
public:
    using Entry = std::pair<std::string, GgufValue>;

    /// Replaces the value of a key that is there, else appends.
    void set(std::string key, GgufValue value);
    void erase(std::string_view key);

    /// nullptr when absent.
    const GgufValue* find(std::string_view key) const;
    bool contains(std::string_view key) const { return find(key) != nullptr; }

    /// The value as an integer of any width that holds it (booleans are not integers).
    /// @throws Error (kMalformed) when absent or of another type; the message names key and type
    std::int64_t integer(std::string_view key) const;
    std::int64_t integer_or(std::string_view key, std::int64_t fallback) const;
    /// float32 or float64. @throws as above
    double real(std::string_view key) const;
    double real_or(std::string_view key, double fallback) const;
    bool boolean_or(std::string_view key, bool fallback) const;
    const std::string& text(std::string_view key) const;
    std::string text_or(std::string_view key, std::string_view fallback) const;
    /// nullptr when absent. @throws Error (kMalformed) when the key is not an array of T
    template <typename T>
    const std::vector<T>* array(std::string_view key) const;
    /// A scalar repeated n times, or an array of n integers: how per-layer counts are stored.
    /// @throws Error (kMalformed) when absent, not integers, or of another length
    std::vector<std::int64_t> integers_per_layer(std::string_view key, std::size_t n) const;

    const std::vector<Entry>& entries() const { return entries_; }

private:
    std::vector<Entry> entries_;
    std::map<std::string, std::size_t, std::less<>> index_;  // a hostile file may hold very many keys
};

}  // namespace plasticity
