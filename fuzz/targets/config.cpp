#include <nlohmann/json.hpp>
#include <string_view>

#include "fuzz_target.h"
#include "io/strict_json.h"
#include "model/architecture.h"
#include "model/fp8_scheme.h"
#include "model/rope_factors.h"

namespace plasticity::fuzz {

/// config.json of a Hugging Face folder.
void run_config(std::span<const std::byte> input) {
    const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
    accepts({ErrorKind::kMalformed}, [&] {
        const nlohmann::json config = parse_strict_json(text, "config.json");
        const Architecture architecture = architecture_from_config(config);
        require(architecture.n_layer() > 0 && architecture.n_embd > 0, "a model has layers and a width");
        if (const auto block = fp8_scheme_from_config(config).block)
            require(block->rows > 0 && block->cols > 0, "a block of scales has rows and columns");
        if (const auto rope = llama3_rope_from_config(config))
            (void)rope_frequency_factors(*rope, architecture.rope_freq_base, architecture.n_rot);
    });
}

}  // namespace plasticity::fuzz
