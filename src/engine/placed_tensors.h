#pragma once

#include <ggml-backend.h>
#include <ggml-cpp.h>
#include <ggml.h>

#include <array>
#include <cstddef>

#include "engine/backend.h"
#include "engine/offload.h"

namespace plasticity {

/// Tensors that are declared together, each for a place, then allocated together, and go together.
class PlacedTensors {
public:
    /// Holds nothing, and nothing can be declared in it.
    PlacedTensors() = default;
    /// @param max_tensors  upper bound of those declared for one place
    explicit PlacedTensors(std::size_t max_tensors);

    /// Where tensors of a place are declared.
    ggml_context* context(Place place) const { return contexts_[static_cast<std::size_t>(place)].get(); }
    /// @throws Error (kIo) naming the bytes that could not be had
    void allocate(const Backend& backend, ggml_backend_buffer_usage usage = GGML_BACKEND_BUFFER_USAGE_ANY);
    void clear();  ///< to zeros

    std::size_t bytes() const { return bytes_in(Place::kCpu) + bytes_in(Place::kDevice); }
    std::size_t bytes_in(Place place) const;
    /// nullptr: there is none
    ggml_tensor* find(const char* name) const;

private:
    std::array<ggml_context_ptr, 2> contexts_;  ///< [Place]
    std::array<ggml_backend_buffer_ptr, 2> buffers_;
};

}  // namespace plasticity
