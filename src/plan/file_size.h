#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "artifact/recipe.h"
#include "model/model.h"

namespace plasticity {

/// The exact size of the file that a recipe gives, quickly: the recipe's text lies in the file whose size it states, so
/// plans are sized many times. Only the text's length, the types and the topology matter; what else the header holds
/// is laid out once. One object serves one topology.
class FileSizer {
public:
    explicit FileSizer(const Model& model) : model_(model) {}

    /// Sets budget.file_bytes to what the file with this very recipe takes, and returns it.
    /// @param matrix_bytes  of all matrices, each padded to the file's alignment
    std::uint64_t settle(Recipe& recipe, std::uint64_t matrix_bytes);

private:
    struct Frame {
        std::uint64_t header_bytes = 0;  ///< without the recipe's text, before padding
        std::uint64_t vector_bytes = 0;  ///< of all vectors, each padded
        std::uint64_t alignment = 32;
    };
    const Frame& frame_for(const Recipe& recipe);
    Frame measure(const Recipe& recipe) const;

    const Model& model_;
    /// What takes a key of its own: that anything is quantised, that columns are padded.
    using Keys = std::pair<bool, bool>;
    std::map<Keys, Frame> frames_;
};

}  // namespace plasticity
