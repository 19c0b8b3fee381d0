#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <vector>

#include "io/scratch_file.h"

namespace plasticity {

struct StashLimits {
    std::uint64_t memory_bytes = std::numeric_limits<std::uint64_t>::max();
    std::filesystem::path folder;  ///< what does not fit lies in a file there
};

/// Activations that wait for their turn, each in a slot: in memory as far as that goes, the rest in a file without a
/// name.
class Stash {
public:
    explicit Stash(StashLimits limits) : limits_(std::move(limits)) {}

    /// In the place of what the slot held, if anything. @throws Error (kIo)
    void put(std::size_t slot, std::vector<float> values);
    /// @pre put() has been called for it since the last clear(). @throws Error (kIo)
    std::vector<float> get(std::size_t slot) const;
    void clear();

private:
    struct Entry {
        std::vector<float> values;  ///< empty: it lies in the file
        std::uint64_t offset = 0;
        std::size_t n_in_file = 0;
    };

    bool fits(const Entry& entry, std::size_t n_values) const;

    StashLimits limits_;
    std::vector<Entry> entries_;
    std::uint64_t in_memory_ = 0;  ///< bytes
    std::unique_ptr<ScratchFile> file_;
    std::uint64_t file_end_ = 0;
};

}  // namespace plasticity
