#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "artifact/gate_gradients.h"
#include "artifact/statistics.h"

namespace plasticity {

/// The sums over the examples so far, in a file: what a scoring run that was killed or interrupted continues from, to
/// the same bytes. A GGUF of F64 tensors, with the key of the run and a SHA-256 over all sums; the file appears whole
/// or not at all, and counts for nothing under another key or where the digest does not hold.
class Checkpoint {
public:
    /// @param key  names everything that the sums depend on
    Checkpoint(std::filesystem::path path, std::string key) : path_(std::move(path)), key_(std::move(key)) {}

    /// What else a run depends on, by names of its own: FineTune::state().
    using Further = std::map<std::string, std::vector<double>>;

    /// @param gradients  with rows of the right lengths (empty_gate_gradients)
    /// @returns whether there was something to continue; otherwise all are as they were
    bool load(GateGradients& gradients, Statistics& statistics, Further& further) const;
    /// @throws Error (kIo)
    void save(const GateGradients& gradients, const Statistics& statistics, const Further& further) const;

private:
    std::filesystem::path path_;
    std::string key_;
};

}  // namespace plasticity
