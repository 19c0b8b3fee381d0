#include "plan/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "artifact/type_names.h"
#include "core/error.h"

namespace plasticity {
namespace {

constexpr std::int32_t kDefaultContext = 4096;
constexpr std::array kKvTypes{GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0};

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

Align read_align(const std::string& align) {
    if (align == "auto") return Align::kAuto;
    if (align == "none") return Align::kNone;
    if (align == "pad") return Align::kPad;
    refuse(fmt::format("--align \"{}\"; expected auto, none or pad", align));
}

void require_prune(const PruneRequest& prune) {
    using Kind = PruneRequest::Kind;
    constexpr double kMostGroups = 1 << 20;
    const bool whole = prune.amount >= 0 && prune.amount <= kMostGroups && prune.amount == std::floor(prune.amount);
    if (prune.kind == Kind::kKvGroups && !whole)
        refuse(fmt::format("--prune kv-groups={}; expected a whole number of at least 0", prune.amount));
    if (prune.kind == Kind::kHeads && !(prune.amount >= 0 && prune.amount < 1))
        refuse(fmt::format("--prune heads={}; expected a share from 0 to below 1", prune.amount));
}

std::vector<TypeOverride> read_overrides(const PlanOptions& options) {
    std::vector<TypeOverride> overrides;
    for (const auto& [pattern, type] : options.tensor_types) {
        const ggml_type read = read_type(type, "--tensor-type " + pattern + "=");
        try {
            overrides.push_back({pattern, std::regex(pattern), read});
        } catch (const std::regex_error& error) {
            refuse(fmt::format("--tensor-type \"{}\" is no regular expression: {}", pattern, error.what()));
        }
    }
    return overrides;
}

}  // namespace

const TypeOverride* PlanGoal::override_for(std::string_view gguf_name) const {
    for (const TypeOverride& candidate : overrides)
        if (std::regex_search(gguf_name.begin(), gguf_name.end(), candidate.regex)) return &candidate;
    return nullptr;
}

PlanGoal read_goal(const PlanOptions& options, const Architecture& architecture) {
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

    goal.kv_type = read_type(options.kv_type, "--kv-type");
    if (std::find(kKvTypes.begin(), kKvTypes.end(), goal.kv_type) == kKvTypes.end())
        refuse(fmt::format("--kv-type {}; expected f16, q8_0 or q4_0", options.kv_type));
    if (architecture.head_dim % ggml_blck_size(goal.kv_type) != 0)
        refuse(fmt::format("--kv-type {}: heads of {} do not divide into its blocks of {}; use f16", options.kv_type,
                           architecture.head_dim, ggml_blck_size(goal.kv_type)));
    goal.kv_type_name = ggml_type_name(goal.kv_type);
    goal.prune = options.prune;
    goal.floor = read_type(options.floor_type, "--floor");
    goal.align = read_align(options.align);
    goal.require_stock = options.require_stock;
    goal.overrides = read_overrides(options);
    return goal;
}

}  // namespace plasticity
