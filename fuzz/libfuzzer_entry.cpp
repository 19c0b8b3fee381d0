// What libFuzzer calls. Compiled once per target, PLASTICITY_FUZZ_TARGET being its name.

#include <cstdint>

#include "fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const plasticity::fuzz::Target* const target = plasticity::fuzz::find_target(PLASTICITY_FUZZ_TARGET);
    target->run(std::as_bytes(std::span(data, size)));
    return 0;
}
