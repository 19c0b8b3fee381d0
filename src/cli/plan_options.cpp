#include "cli/plan_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "artifact/device.h"
#include "core/error.h"
#include "core/units.h"

namespace plasticity {

PlanOptions PlanArguments::resolve() const {
    PlanOptions resolved = options;
    if (!target_size.empty()) resolved.target_bytes = parse_bytes(target_size);
    const int n_budgets =
        (resolved.device ? 1 : 0) + (resolved.target_bytes ? 1 : 0) + (resolved.target_bits_per_weight ? 1 : 0);
    if (n_budgets != 1)
        throw Error(
            ErrorKind::kUsage,
            fmt::format("plan: {} budgets given; expected exactly one of --device, --target-size and --target-bpw",
                        n_budgets));
    resolved.prune = parse_prune(prune);
    for (const std::string& text : tensor_types) resolved.tensor_types.push_back(parse_tensor_type(text));
    return resolved;
}

std::string PlanArguments::text() const {
    const std::uint64_t device = options.device ? parse_device(*options.device).effective_bytes() : 0;
    return fmt::format("{} {}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", options.device.value_or(""), device, target_size,
                       options.target_bits_per_weight.value_or(0), options.context_length, options.kv_type,
                       options.policy, prune, options.floor_type, fmt::join(tensor_types, " "), options.align,
                       options.require_stock, options.equalize);
}

void add_plan_options(CLI::App& command, PlanArguments& arguments) {
    PlanOptions& options = arguments.options;
    command
        .add_option("--device", options.device,
                    "16gb|macbookair, 32gb|macbookpro, 24gb-vram|5090|rtx5090, <n>gb, auto, or JSON "
                    "{memoryGb, reservedGb, label}")
        ->group("Budget");
    command.add_option("--target-size", arguments.target_size, "Of the whole file: bytes, 12.9GB, 12GiB")
        ->group("Budget");
    command.add_option("--target-bpw", options.target_bits_per_weight, "Bits of the file per weight")->group("Budget");
    command.add_option("--context", options.context_length, "Tokens the KV cache is budgeted for; 0: 4096 at most")
        ->check(CLI::NonNegativeNumber)
        ->group("Budget");
    command.add_option("--kv-type", options.kv_type, "f16, q8_0 or q4_0")->capture_default_str()->group("Budget");
    command
        .add_option("--policy", options.policy,
                    "optimal (least predicted damage), tiers, or auto: optimal where --stats holds curvature")
        ->capture_default_str()
        ->group("Plan");
    command
        .add_option(
            "--prune", arguments.prune,
            "auto, off, kv-groups=N (every layer), heads=SHARE or ffn=SHARE (of all feed-forward channels); one "
            "of heads and ffn together: heads=SHARE,ffn=SHARE")
        ->capture_default_str()
        ->group("Plan");
    command
        .add_option("--align", options.align,
                    "Rows that bar 256-wide types: none (32-wide types), pad (with zeros), columns (of single "
                    "matrices, with --allow-own), or auto: whichever is predicted to do least damage")
        ->capture_default_str()
        ->group("Plan");
    command
        .add_flag("--require-stock,!--allow-own", options.require_stock,
                  "Only what stock llama.cpp runs (the default), or also what this program alone runs")
        ->group("Plan");
    command
        .add_flag("--equalize", options.equalize,
                  "Scale channels by what they carry before they are quantised; adapters of the base fit no more")
        ->group("Plan");
    command.add_option("--floor", options.floor_type, "No matrix gets fewer bits than this type has")
        ->capture_default_str()
        ->group("Plan");
    command
        .add_option("--tensor-type", arguments.tensor_types,
                    "REGEX=TYPE, over GGUF names and regardless of case; of several the first that matches counts")
        ->group("Plan");
}

}  // namespace plasticity
