#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace plasticity {

/// What the machine has, or the container may have where that is less. Nothing where the system does not tell.
std::optional<std::uint64_t> machine_memory_bytes();

/// Bytes that this process could have without anything being swapped out: what the system says is available, and no
/// more than the container has left. Nothing where the system does not tell.
std::optional<std::uint64_t> available_memory_bytes();

/// The most memory that this process has had resident so far. Nothing where the system does not tell.
std::optional<std::uint64_t> peak_resident_bytes();
/// What it has resident now.
std::optional<std::uint64_t> resident_bytes();
/// From now on peak_resident_bytes() tells the most since now. @returns false where the system does not do that
bool reset_peak_resident();

/// Asks for large pages under memory that is read again and again, before it is filled: fewer addresses to translate.
/// Only for whole ones inside of it, so that no more memory is taken; nothing happens where the system has none to
/// give.
void prefer_large_pages(void* data, std::size_t bytes);

/// From now on large blocks go back to the system as soon as they are freed, where the allocator can be told to: for
/// runs that promise to stay below a limit. (glibc keeps ever larger ones for itself by default.)
void return_freed_memory();

}  // namespace plasticity
