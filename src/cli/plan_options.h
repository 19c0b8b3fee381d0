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
    /// All that resolve() reads, and what `--device auto` finds here: the same text gives the same plan of the same
    /// scores.
    std::string text() const;
};

inline constexpr auto kGramMemoryHelp =
    "Most that work on one Gram matrix may take; wide inputs are taken apart to fit. Default: 704MiB";

/// Everything but MODEL, --scores, --stats and --gram.
void add_plan_options(CLI::App& command, PlanArguments& arguments);

}  // namespace plasticity
