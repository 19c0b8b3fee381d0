#pragma once

#include <ggml.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/device.h"
#include "model/model.h"
#include "plan/alignment.h"
#include "plan/name_pattern.h"
#include "plasticity/plan.h"

namespace plasticity {

/// A type that the user insists on for some tensors.
struct TypeOverride {
    NamePattern pattern;
    ggml_type type = GGML_TYPE_F16;
};

enum class Policy { kAuto, kOptimal, kTiers };

/// PlanOptions, checked and turned into what the policy works with.
struct PlanGoal {
    std::optional<Device> device;
    std::optional<std::uint64_t> target_bytes;
    std::optional<double> target_bits_per_weight;
    std::int32_t context_length = 0;
    ggml_type kv_type = GGML_TYPE_F16;
    std::string kv_type_name;
    Policy policy = Policy::kAuto;
    PruneRequest prune;
    ggml_type floor = GGML_TYPE_Q3_K;
    Align align = Align::kAuto;
    bool require_stock = true;
    double equalization = 0;  ///< Recipe::equalization
    std::vector<TypeOverride> overrides;

    /// The file is bounded, not the memory at run time.
    bool bounds_file() const { return !device; }
    /// The first whose pattern is in the name, as llama-quantize has it; nullptr: none.
    const TypeOverride* override_for(std::string_view gguf_name) const;
};

/// @throws Error (kUsage), also where an override's pattern is in no matrix' name, or its type is below the floor
PlanGoal read_goal(const PlanOptions& options, const Model& model);

}  // namespace plasticity
