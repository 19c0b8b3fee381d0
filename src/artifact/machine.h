#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace plasticity {

/// What something was measured on, and with.
struct Machine {
    std::string system;     ///< "Linux 6.1.0 x86_64"
    std::string processor;  ///< as it calls itself; empty where the system does not tell
    int processors = 0;     ///< that this process may run on
    std::uint64_t memory_bytes = 0;
    std::vector<std::string> instruction_sets;  ///< that ggml's kernels use here: "AVX2", "FMA", …
    std::string backend;                        ///< "CPU", or a device with its description
    std::string program_version, ggml_version, ggml_commit;

    /// "AMD EPYC 9B14, 2 processors, 24.6 GB, Linux 6.1.0 x86_64, CPU (AVX2 FMA), plasticity 1.0"
    std::string text() const;
};

nlohmann::ordered_json machine_json(const Machine& machine);

}  // namespace plasticity
