#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "plasticity/plan.h"

namespace plasticity {

/// The options of `plan` as they are typed; `compress --scores` and `run` take them too.
struct PlanArguments {
    PlanOptions options;
    std::string target_size;
    std::string prune = "auto";
    std::vector<std::string> tensor_types;  ///< REGEX=TYPE

    /// Parsed and checked. @throws Error (kUsage)
    PlanOptions resolve() const;
};

/// Everything but MODEL and --scores.
void add_plan_options(CLI::App& command, PlanArguments& arguments);

/// "auto" | "off" | "kv-groups=N" | "heads=F". @throws Error (kUsage)
PruneRequest parse_prune(const std::string& text);

}  // namespace plasticity
