#include "artifact/gate_gradients.h"

#include "fuzz_target.h"

namespace plasticity::fuzz {

void run_gate_gradients(std::span<const std::byte> input) {
    const std::filesystem::path path = file_of(input);
    accepts({ErrorKind::kMalformed}, [&] {
        const GateGradients gradients = load_gate_gradients(path);
        require(gradients.layer_kv_heads.size() == gradients.absolute_sums.size(), "every layer has its KV heads");
        for (const auto& row : gradients.layer_scores())
            for (const double score : row) require(score >= 0 && score <= 1, "scores lie in [0, 1]");
    });
}

}  // namespace plasticity::fuzz
