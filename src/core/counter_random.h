#pragma once

#include <cstdint>

namespace plasticity {

/// 64 bits that depend on nothing but the arguments, so that what is drawn for one place does not depend on what was
/// drawn before, nor on threads (SplitMix64: Steele, Lea & Flood 2014).
constexpr std::uint64_t bits_at(std::uint64_t seed, std::uint64_t index) {
    std::uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/// A number in [0, 1) likewise.
constexpr double uniform_at(std::uint64_t seed, std::uint64_t index) {
    return static_cast<double>(bits_at(seed, index) >> 11) * 0x1p-53;
}

}  // namespace plasticity
