#include "model/hf_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "io/printable.h"
#include "model/hf_dtype.h"
#include "model/tensor_check.h"

namespace plasticity {
namespace {

/// "mlp.experts.17.up_proj" → expert 17, kExpertUps.
std::optional<std::pair<std::int32_t, TensorRole>> parse_expert(std::string_view within) {
    constexpr std::string_view kPrefix = "mlp.experts.";
    if (!within.starts_with(kPrefix)) return std::nullopt;
    within.remove_prefix(kPrefix.size());
    std::int32_t expert = 0;
    const auto [end, failure] = std::from_chars(within.data(), within.data() + within.size(), expert);
    const auto digits = static_cast<std::size_t>(end - within.data());
    if (failure != std::errc{} || expert < 0 || (digits > 1 && within.front() == '0')) return std::nullopt;
    within.remove_prefix(digits);
    if (within == ".gate_proj") return std::pair{expert, TensorRole::kExpertGates};
    if (within == ".up_proj") return std::pair{expert, TensorRole::kExpertUps};
    if (within == ".down_proj") return std::pair{expert, TensorRole::kExpertDowns};
    return std::nullopt;
}

ggml_type type_of(const StoredWeight& weight) {
    return weight_type_of_dtype(weight.tensor.entry->dtype).value_or(GGML_TYPE_F32);
}

}  // namespace

void HfTensors::add(const ShardEntry& tensor, WeightScales& scales, ProblemList& problems) {
    const SafetensorsEntry& entry = *tensor.entry;
    if (entry.name.ends_with("rotary_emb.inv_freq")) return;  // a buffer of old checkpoints; config.json says the same
    const bool has_type = weight_type_of_dtype(entry.dtype).has_value();
    const auto spellings =
        family_ ? std::span<const RoleSpelling>(family_->hf_spellings) : std::span<const RoleSpelling>{};
    const std::optional<TensorId> id = parse_hf_name(entry.name, spellings);
    const std::optional<BlockName> in_block = id ? std::nullopt : split_hf_name(entry.name);
    const bool is_readable = has_type && !entry.shape.empty() && entry.shape.size() <= 2;
    StoredWeight weight{.tensor = tensor, .scale = {}};
    if (is_readable) weight.scale = scales.claim(entry, problems);
    if (in_block && is_readable && add_fused(*in_block, weight, problems)) return;
    if (in_block && is_readable && add_expert(*in_block, weight, problems)) return;
    if (!id)
        problems.add(fmt::format("{}: unknown tensor; is this a model of another family?", printable(entry.name)));
    else if (!has_type)
        problems.add(
            fmt::format("{}: got dtype {}; expected BF16, F16, F32, F8_E4M3 or F8_E5M2", entry.name, entry.dtype));
    else if (!is_readable)
        problems.add(fmt::format("{}: got {} dimensions; expected one or two", entry.name, entry.shape.size()));
    else
        add_whole(*id, weight);
}

void HfTensors::add_whole(const TensorId& id, const StoredWeight& weight) {
    const SafetensorsEntry& entry = *weight.tensor.entry;
    const bool is_vector = entry.shape.size() == 1;
    const bool is_offset = family_ && family_->norms_are_offsets && is_vector && is_norm(id.role);
    tensors_.push_back({.id = id,
                        .name = gguf_name(id),
                        .type = is_offset ? GGML_TYPE_F32 : type_of(weight),
                        .rows = rows_in(entry),
                        .cols = entry.shape.back(),
                        .is_vector = is_vector});
    sources_[tensors_.back().name] = {
        .parts = {{.weight = weight, .n_rows = rows_in(entry)}}, .computed = {}, .is_offset_from_one = is_offset};
}

bool HfTensors::add_fused(const BlockName& name, const StoredWeight& weight, ProblemList& problems) {
    const SafetensorsEntry& entry = *weight.tensor.entry;
    if (!family_ || !architecture_ || name.suffix != ".weight" || entry.shape.size() != 2) return false;
    const auto fused = std::ranges::find(family_->fused, name.within, &FusedTensor::hf);
    if (fused == family_->fused.end() || name.layer >= architecture_->n_layer()) return false;

    std::int64_t first_row = 0;
    for (const TensorRole role : fused->parts) {
        const TensorId id{role, name.layer};
        const std::int64_t n_rows = rows_of(*architecture_, id);
        tensors_.push_back(
            {.id = id, .name = gguf_name(id), .type = type_of(weight), .rows = n_rows, .cols = entry.shape[1]});
        sources_[tensors_.back().name].parts = {{.weight = weight, .first_row = first_row, .n_rows = n_rows}};
        first_row += n_rows;
    }
    if (first_row != entry.shape[0])
        problems.add(fmt::format("{}: got {} rows; expected {}", entry.name, entry.shape[0], first_row));
    return true;
}

bool HfTensors::add_expert(const BlockName& name, const StoredWeight& weight, ProblemList& problems) {
    const auto expert = parse_expert(name.within);
    if (!expert || name.suffix != ".weight" || !architecture_ || architecture_->experts.count == 0) return false;
    const bool fits = expert->first < architecture_->experts.count && name.layer < architecture_->n_layer();
    if (!fits)
        problems.add(fmt::format("{}: beyond the {} experts of {} blocks", weight.tensor.entry->name,
                                 architecture_->experts.count, architecture_->n_layer()));
    else
        experts_[{name.layer, expert->second}][expert->first] = weight;
    return true;
}

void HfTensors::join_experts(ProblemList& problems) {
    for (const auto& [key, pieces] : experts_) {
        const TensorId id{key.second, key.first};
        const SafetensorsEntry& first = *pieces.begin()->second.tensor.entry;
        HfSource source;
        for (const auto& [expert, piece] : pieces) {
            const SafetensorsEntry& entry = *piece.tensor.entry;
            if (entry.shape != first.shape || entry.dtype != first.dtype || first.shape.size() != 2)
                problems.add(fmt::format("{}: shape or dtype differ from those of {}", entry.name, first.name));
            source.parts.push_back({.weight = piece, .n_rows = rows_in(entry)});
        }
        const auto count = static_cast<std::int64_t>(pieces.size());
        if (count != architecture_->experts.count)
            problems.add(
                fmt::format("{}: got {} experts; expected {}", gguf_name(id), count, architecture_->experts.count));
        tensors_.push_back({.id = id,
                            .name = gguf_name(id),
                            .type = type_of(pieces.begin()->second),
                            .rows = rows_in(first) * count,
                            .cols = first.shape.back(),
                            .n_matrices = count});
        sources_[tensors_.back().name] = std::move(source);
    }
}

void HfTensors::add_computed(TensorRole role, std::vector<float> values) {
    const TensorId id{role};
    tensors_.push_back(
        {.id = id, .name = gguf_name(id), .type = GGML_TYPE_F32, .cols = std::ssize(values), .is_vector = true});
    sources_[tensors_.back().name].computed = std::move(values);
}

}  // namespace plasticity
