#include "engine/stash.h"

#include <span>
#include <utility>

namespace plasticity {

bool Stash::fits(const Entry& entry, std::size_t n_values) const {
    const std::uint64_t others = in_memory_ - entry.values.size() * sizeof(float);
    return others + n_values * sizeof(float) <= limits_.memory_bytes;
}

void Stash::put(std::size_t slot, std::vector<float> values) {
    if (slot >= entries_.size()) entries_.resize(slot + 1);
    Entry& entry = entries_[slot];
    if (entry.n_in_file == 0 && fits(entry, values.size())) {
        in_memory_ += values.size() * sizeof(float) - entry.values.size() * sizeof(float);
        entry.values = std::move(values);
        return;
    }
    in_memory_ -= entry.values.size() * sizeof(float);
    entry.values = std::vector<float>();
    if (!file_) file_ = std::make_unique<ScratchFile>(limits_.folder);
    if (entry.n_in_file < values.size()) {
        entry.offset = file_end_;
        file_end_ += values.size() * sizeof(float);
    }
    entry.n_in_file = values.size();
    file_->write(entry.offset, std::as_bytes(std::span(values)));
}

std::vector<float> Stash::get(std::size_t slot) const {
    const Entry& entry = entries_.at(slot);
    if (entry.n_in_file == 0) return entry.values;
    std::vector<float> values(entry.n_in_file);
    file_->read(entry.offset, std::as_writable_bytes(std::span(values)));
    return values;
}

void Stash::clear() {
    entries_.clear();
    in_memory_ = 0;
    file_end_ = 0;
}

}  // namespace plasticity
