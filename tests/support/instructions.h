#pragma once

#include <hwy/targets.h>

#include <cstdint>

namespace plasticity::test {

/// Gives the choice of instructions back to Highway when it goes.
struct InstructionsRestored {
    ~InstructionsRestored() { hwy::SetSupportedTargetsForTest(0); }
};

/// Calls body(name) once for each set of instructions that this processor and the build have, with no other to choose.
/// @returns how many there were
template <class Body>
int with_all_instructions(const Body& body) {
    const InstructionsRestored restored;
    int tried = 0;
    for (std::int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1, ++tried) {
        hwy::SetSupportedTargetsForTest(left & -left);
        body(hwy::TargetName(left & -left));
    }
    return tried;
}

}  // namespace plasticity::test
