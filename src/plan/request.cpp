#include "plan/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "artifact/equalization.h"
#include "artifact/type_names.h"
#include "core/error.h"

namespace plasticity {
namespace {

constexpr std::int32_t kDefaultContext = 4096;

[[noreturn]] void refuse(const std::string& message) {
    throw Error(ErrorKind::kUsage, "plan: " + message);
}

ggml_type read_type(const std::string& name, std::string_view option) {
    const auto type = parse_weight_type(name);
    if (!type) refuse(fmt::format("{} \"{}\" is no type; expected one of {}", option, name, weight_type_names()));
    return *type;
}

void require_one_limit(const PlanOptions& options) {
    const int limits = int{options.device.has_value()} + int{options.target_bytes.has_value()} +
                       int{options.target_bits_per_weight.has_value()};
    if (limits != 1)
        refuse(fmt::format("{} of --device, --target-size and --target-bpw are given; expected exactly one", limits));
    if (options.target_bytes && *options.target_bytes == 0) refuse("--target-size is 0; expected a number of bytes");
    const double bits = options.target_bits_per_weight.value_or(1);
    if (!(bits > 0 && bits <= 64)) refuse(fmt::format("--target-bpw is {}; expected more than 0, at most 64", bits));
}

Policy read_policy(const std::string& policy) {
    if (policy == "auto") return Policy::kAuto;
    if (policy == "optimal") return Policy::kOptimal;
    if (policy == "tiers") return Policy::kTiers;
    refuse(fmt::format("unknown policy \"{}\"; expected auto, optimal or tiers", policy));
}

Align read_align(const PlanOptions& options, const Architecture& architecture) {
    const std::string& align = options.align;
    if (align == "auto") return options.require_stock ? Align::kAuto : Align::kAutoOwn;
    if (align == "none") return Align::kNone;
    if (align == "pad") return Align::kPad;
    if (align != "columns") refuse(fmt::format("--align \"{}\"; expected auto, none, pad or columns", align));
    if (options.require_stock)
        refuse(
            "--align columns pads the input columns of single matrices, which stock llama.cpp refuses; expected "
            "auto, none or pad. --allow-own plans it all the same, for this program alone");
    if (architecture.experts.count > 0)
        refuse(
            fmt::format("--align columns makes what this program alone runs, and a mixture of experts ({}) it does "
                        "not; expected auto, none or pad",
                        architecture.name));
    return Align::kColumns;
}

void require_prune(const PruneRequest& prune) {
    using Kind = PruneRequest::Kind;
    constexpr double kMostGroups = 1 << 20;
    const bool whole = prune.amount >= 0 && prune.amount <= kMostGroups && prune.amount == std::floor(prune.amount);
    if (prune.kind == Kind::kKvGroups && !whole)
        refuse(fmt::format("--prune kv-groups={}; expected a whole number of at least 0", prune.amount));
    if (prune.kind == Kind::kHeads && !(prune.amount >= 0 && prune.amount < 1))
        refuse(fmt::format("--prune heads={}; expected a share from 0 to below 1", prune.amount));
    if (!(prune.channel_share >= 0 && prune.channel_share < 1))
        refuse(fmt::format("--prune ffn={}; expected a share from 0 to below 1", prune.channel_share));
    if (prune.channel_share > 0 && prune.kind == Kind::kAuto)
        refuse("--prune auto with ffn=SHARE; expected one of them, or ffn=SHARE with kv-groups=N or heads=SHARE");
}

std::vector<TypeOverride> read_overrides(const PlanOptions& options) {
    std::vector<TypeOverride> overrides;
    for (const auto& [pattern, type] : options.tensor_types) {
        const ggml_type read = read_type(type, "--tensor-type " + pattern + "=");
        overrides.push_back({NamePattern(pattern), read});
    }
    return overrides;
}

/// Why a pattern that somebody meant to be of use is of none, where that can be told.
std::string likely_cause(const NamePattern& pattern, const Model& model) {
    const std::string output = gguf_name({TensorRole::kOutput}), embedding = gguf_name({TensorRole::kTokenEmbedding});
    if (model.architecture().tied_embeddings && pattern.is_in(output))
        return fmt::format("{} is the output matrix of this model too; ", embedding);
    for (const ModelTensor& tensor : model.tensors()) {
        if (!is_matrix(tensor.id) && pattern.is_in(tensor.name))
            return fmt::format("{} is no matrix and stays in F32; ", tensor.name);
        if (is_matrix(tensor.id) && pattern.is_in(hf_name(tensor.id)))
            return fmt::format("{} goes by the name of {} here; ", hf_name(tensor.id), tensor.name);
    }
    return "";
}

/// Three of them, from all over the model.
std::string sample_of_names(const Model& model) {
    std::vector<std::string> names;
    for (const ModelTensor& tensor : model.tensors())
        if (is_matrix(tensor.id)) names.push_back(tensor.name);
    std::string sample;
    for (const std::size_t at : {std::size_t{0}, names.size() / 2, names.size() - 1})
        sample += (sample.empty() ? "" : ", ") + names[at];
    return sample;
}

void require_of_use(const TypeOverride& wanted, const Model& model, ggml_type floor) {
    const std::string given =
        fmt::format("--tensor-type \"{}={}\"", wanted.pattern.text(), ggml_type_name(wanted.type));
    const bool is_found = std::ranges::any_of(model.tensors(), [&](const ModelTensor& tensor) {
        return is_matrix(tensor.id) && wanted.pattern.is_in(tensor.name);
    });
    if (!is_found)
        refuse(fmt::format("{} matches no matrix; {}expected a pattern for names such as {}", given,
                           likely_cause(wanted.pattern, model), sample_of_names(model)));
    if (bits_per_weight(wanted.type) < bits_per_weight(floor))
        refuse(
            fmt::format("{} is below the floor: {:.4g} bits per weight; expected at least the {:.4g} of {}. "
                        "--floor {} allows it",
                        given, bits_per_weight(wanted.type), bits_per_weight(floor), ggml_type_name(floor),
                        ggml_type_name(wanted.type)));
}

}  // namespace

const TypeOverride* PlanGoal::override_for(std::string_view gguf_name) const {
    for (const TypeOverride& candidate : overrides)
        if (candidate.pattern.is_in(gguf_name)) return &candidate;
    return nullptr;
}

PlanGoal read_goal(const PlanOptions& options, const Model& model) {
    const Architecture& architecture = model.architecture();
    require_one_limit(options);
    require_prune(options.prune);
    PlanGoal goal;
    goal.policy = read_policy(options.policy);
    if (options.device) goal.device = parse_device(*options.device);
    goal.target_bytes = options.target_bytes;
    goal.target_bits_per_weight = options.target_bits_per_weight;
    if (options.context_length < 0)
        refuse(fmt::format("--context is {}; expected a number of tokens", options.context_length));
    const std::int32_t trained = architecture.context_length > 0 ? architecture.context_length : kDefaultContext;
    goal.context_length = options.context_length > 0 ? options.context_length : std::min(kDefaultContext, trained);

    const std::optional<ggml_type> kv_type = parse_kv_type(options.kv_type);
    if (!kv_type) refuse(fmt::format("--kv-type {}; expected f16, q8_0 or q4_0", options.kv_type));
    goal.kv_type = *kv_type;
    if (architecture.head_dim % ggml_blck_size(goal.kv_type) != 0)
        refuse(fmt::format("--kv-type {}: heads of {} do not divide into its blocks of {}; use f16", options.kv_type,
                           architecture.head_dim, ggml_blck_size(goal.kv_type)));
    goal.kv_type_name = ggml_type_name(goal.kv_type);
    goal.prune = options.prune;
    goal.floor = read_type(options.floor_type, "--floor");
    goal.align = read_align(options, architecture);
    goal.require_stock = options.require_stock;
    if (options.equalize) goal.equalization = kEqualizationStrength;
    goal.overrides = read_overrides(options);
    for (const TypeOverride& wanted : goal.overrides) require_of_use(wanted, model, goal.floor);
    return goal;
}

}  // namespace plasticity
