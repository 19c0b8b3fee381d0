#include "score/initial_adapter.h"

#include <fmt/format.h>

#include <cmath>

#include "core/counter_random.h"
#include "core/error.h"

namespace plasticity {

LoraAdapter initial_adapter(const Architecture& architecture, const FineTuneOptions& options, std::uint64_t seed) {
    LoraAdapter adapter = empty_adapter(architecture, parse_lora_targets(options.targets), options.rank, options.alpha);
    if (adapter.matrices.empty())
        throw Error(ErrorKind::kUsage,
                    fmt::format("score: --lora-targets {}: the model has no such matrices", options.targets));
    for (std::size_t index = 0; index < adapter.matrices.size(); ++index) {
        LoraMatrix& matrix = adapter.matrices[index];
        const double bound = 1 / std::sqrt(static_cast<double>(matrix.cols));
        const std::uint64_t draws = bits_at(seed, index);
        for (std::size_t at = 0; at < matrix.a.size(); ++at)
            matrix.a[at] = static_cast<float>(bound * (2 * uniform_at(draws, at) - 1));
    }
    return adapter;
}

}  // namespace plasticity
