#include "cli/fine_tune_options.h"

#include <fmt/format.h>

#include <algorithm>

namespace plasticity {

std::optional<FineTuneOptions> FineTuneArguments::resolve() const {
    const bool is_given =
        std::ranges::any_of(given_if_any, [](const CLI::Option* option) { return option->count() > 0; });
    return is_given ? std::optional(options) : std::nullopt;
}

std::string FineTuneArguments::text() const {
    const auto o = resolve();
    if (!o) return "";
    return fmt::format("{} {} {} {} {} {} {} {} {} {} {}", o->epochs, o->rank, o->alpha, o->targets, o->learning_rate,
                       o->warmup, o->weight_decay, o->dropout, o->batch, o->holdout_every, o->shuffle);
}

void add_fine_tune_options(CLI::App& command, FineTuneArguments& arguments) {
    FineTuneOptions& o = arguments.options;
    const auto add = [&](const char* name, auto& value, const char* help) {
        CLI::Option* option = command.add_option(name, value, help)->capture_default_str()->group("Fine-tuning");
        arguments.given_if_any.push_back(option);
    };
    add("--epochs", o.epochs,
        "Train a LoRA adapter for so many epochs while gradients are captured (any option of this group but --no-lora "
        "asks for it); 0: only make it");
    add("--rank", o.rank, "Of the adapter's matrices");
    add("--alpha", o.alpha, "What the adapter adds is multiplied by alpha / rank");
    add("--lora-targets", o.targets, "Which matrices get one, of q,k,v,o,gate,up,down");
    add("--lr", o.learning_rate, "Peak learning rate of AdamW");
    add("--warmup", o.warmup, "Share of the steps in which the learning rate rises; then it falls as a cosine");
    add("--weight-decay", o.weight_decay, "Decoupled, of AdamW");
    add("--dropout", o.dropout, "Probability that an adapter does not see a value");
    add("--batch", o.batch, "Examples of a step");
    add("--holdout-every", o.holdout_every, "Hold out one example of so many to measure on; 0: none");
    CLI::Option* shuffle = command.add_flag("--shuffle", o.shuffle, "Another order of examples in every epoch");
    arguments.given_if_any.push_back(shuffle->group("Fine-tuning"));
    CLI::Option* none =
        command.add_flag_callback("--no-lora", [] {}, "Train nothing: the default")->group("Fine-tuning");
    for (const CLI::Option* option : arguments.given_if_any) none->excludes(command.get_option(option->get_name()));
}

}  // namespace plasticity
