#pragma once

#include "model/model.h"
#include "verify/subject.h"

namespace plasticity {

/// "structure": the tensors make up the decoder that the metadata describe, with the heads that the recipe keeps, and
/// the `continuum.*` arrays say the same; rows are padded where it says so, and nowhere else. Without a recipe: against
/// its own architecture only.
/// @param base  where it is at hand: names, shapes and types are then also those that compress lays out; may be nullptr
Check check_structure(const Subject& subject, const Model* base);

/// "types": every matrix has the type that the recipe assigns to it. Without a recipe: passes, counting types.
Check check_types(const Subject& subject);

}  // namespace plasticity
