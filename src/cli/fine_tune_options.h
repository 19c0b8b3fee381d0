#pragma once

#include <optional>

#include "cli/command.h"
#include "plasticity/score.h"

namespace plasticity {

/// The options of fine-tuning as they were given.
struct FineTuneArguments {
    FineTuneOptions options;
    std::vector<const CLI::Option*> given_if_any;  ///< training is asked for by any of these

    /// Nothing where no option asks for it.
    std::optional<FineTuneOptions> resolve() const;
    /// All that matters of them, for fingerprints; empty where nothing asks for training.
    std::string text() const;
};

/// --epochs, --rank, --alpha, --lr, --dropout, --warmup, --weight-decay, --batch, --lora-targets, --holdout-every,
/// --shuffle and --no-lora.
void add_fine_tune_options(CLI::App& command, FineTuneArguments& arguments);

}  // namespace plasticity
