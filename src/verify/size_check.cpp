#include "verify/size_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "artifact/output_layout.h"
#include "artifact/type_names.h"
#include "core/units.h"

namespace plasticity {
namespace {

/// Context to plan with where no recipe names one; the same as plan's default.
constexpr std::int32_t kDefaultContext = 4096;

std::uint64_t weight_bytes(const GgufReader& file) {
    std::uint64_t sum = 0;
    for (const GgufTensor& tensor : file.tensors()) sum += tensor.bytes;
    return sum;
}

}  // namespace

Check check_file_size(const Subject& subject) {
    constexpr std::string_view kName = "file size";
    const std::uint64_t got = subject.file.file().size();
    if (!subject.recipe) return make_check(kName, {}, fmt::format("{} bytes; no recipe to compare with", got));

    const Budget& budget = subject.recipe->budget;
    const bool has_tokenizer = subject.file.metadata().contains("tokenizer.ggml.model");
    std::vector<std::string> problems;
    if (got > budget.file_bytes || (has_tokenizer && got != budget.file_bytes))
        problems.push_back(fmt::format("{} bytes; the recipe announces {}", got, budget.file_bytes));
    if (!subject.recipe->device && budget.limit_bytes > 0 && got > budget.limit_bytes)
        problems.push_back(fmt::format("{} bytes; expected at most {}", got, budget.limit_bytes));
    const std::string limit = subject.recipe->device ? "" : fmt::format(", within {}", budget.limit_bytes);
    return make_check(
        kName, problems,
        fmt::format("{} bytes{}{}", got, has_tokenizer ? ", as announced" : " without a tokenizer", limit));
}

Check check_memory(const Subject& subject, const std::optional<Device>& device) {
    constexpr std::string_view kName = "memory";
    if (!subject.model) return make_check(kName, {"unknown, since the structure is broken"}, "");
    const Architecture& architecture = subject.model->architecture();
    const Recipe* recipe = subject.recipe ? &*subject.recipe : nullptr;

    const std::int32_t context = recipe && recipe->context_length > 0
                                     ? recipe->context_length
                                     : std::min(kDefaultContext, std::max(architecture.context_length, 1));
    const auto kv_type = recipe ? parse_weight_type(recipe->kv_type) : GGML_TYPE_F16;
    if (!kv_type)
        return make_check(kName, {fmt::format("KV type \"{}\"; expected f16, q8_0 or q4_0", recipe->kv_type)}, "");
    const std::uint64_t weights = weight_bytes(subject.file);
    const std::uint64_t cache = kv_cache_bytes(architecture, context, *kv_type);
    const std::uint64_t compute = recipe ? recipe->budget.compute_bytes : 0;
    const std::uint64_t needed = weights + cache + compute;

    const std::string parts =
        fmt::format("{} at {} tokens: weights {}, KV cache {}, compute {}", format_bytes(needed), context,
                    format_bytes(weights), format_bytes(cache), recipe ? format_bytes(compute) : "not planned");
    const std::optional<Device>& target = device ? device : recipe ? recipe->device : device;
    if (!target) return make_check(kName, {}, parts + "; no device to compare with");
    const std::string verdict =
        fmt::format("{}; {} has {}", parts, target->label, format_bytes(target->effective_bytes()));
    if (needed > target->effective_bytes()) return make_check(kName, {verdict}, "");
    return make_check(kName, {}, verdict);
}

}  // namespace plasticity
