#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

namespace plasticity {

/// The processes that work on one run together, by number. All must call the same in the same order.
class Ranks {
public:
    virtual ~Ranks() = default;
    virtual int rank() const = 0;  ///< this one's number, from 0
    virtual int size() const = 0;
    /// What every rank gives, in rank order, to every rank. @throws Error (kIo)
    virtual std::vector<std::vector<std::byte>> exchange(std::span<const std::byte> mine) = 0;

    bool is_first() const { return rank() == 0; }
};

/// This process by itself.
Ranks& alone();

/// As Ranks::exchange, of values.
template <typename Value>
    requires std::is_trivially_copyable_v<Value>
std::vector<std::vector<Value>> exchange_values(Ranks& ranks, std::span<const Value> mine) {
    std::vector<std::vector<Value>> all;
    for (const std::vector<std::byte>& bytes : ranks.exchange(std::as_bytes(mine))) {
        std::vector<Value>& values = all.emplace_back(bytes.size() / sizeof(Value));
        if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    }
    return all;
}

}  // namespace plasticity
