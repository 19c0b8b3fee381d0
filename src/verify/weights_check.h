#pragma once

#include "model/model.h"
#include "verify/subject.h"

namespace plasticity {

/// "weights": every tensor is its base's, as far as its type shows: the cosine of sampled rows, dequantised, with the
/// base's, cut and ordered as the recipe says. Finds what shapes do not tell, such as layers that changed places.
/// @param least  cosine that a tensor must have; one in 2 bits has about 0.95
/// @pre subject.recipe and subject.model are there, and the structure is sound
/// @throws Error (kIo)
Check check_weights(const Subject& subject, const Model& base, double least);

}  // namespace plasticity
