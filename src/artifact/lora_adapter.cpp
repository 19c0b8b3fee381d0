#include "artifact/lora_adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/hash.h"

namespace plasticity {
namespace {

struct Target {
    TensorRole role;
    std::string_view option;
};
constexpr std::array kTargets{Target{TensorRole::kQuery, "q"},   Target{TensorRole::kKey, "k"},
                              Target{TensorRole::kValue, "v"},   Target{TensorRole::kAttentionOutput, "o"},
                              Target{TensorRole::kGate, "gate"}, Target{TensorRole::kUp, "up"},
                              Target{TensorRole::kDown, "down"}};

constexpr std::array kRoles = [] {
    std::array<TensorRole, kTargets.size()> roles{};
    for (std::size_t i = 0; i < roles.size(); ++i) roles[i] = kTargets[i].role;
    return roles;
}();

}  // namespace

std::span<const LoraMatrix> LoraAdapter::of_layer(int layer) const {
    const auto in_layer = std::ranges::equal_range(matrices, layer, {}, [](const LoraMatrix& m) { return m.id.layer; });
    return {in_layer.begin(), in_layer.end()};
}

const LoraMatrix* LoraAdapter::find(const TensorId& id) const {
    for (const LoraMatrix& matrix : of_layer(id.layer))
        if (matrix.id == id) return &matrix;
    return nullptr;
}

std::vector<TensorRole> LoraAdapter::targets() const {
    std::vector<TensorRole> roles;
    for (const TensorRole role : kRoles)
        if (std::ranges::any_of(matrices, [role](const LoraMatrix& m) { return m.id.role == role; }))
            roles.push_back(role);
    return roles;
}

std::string LoraAdapter::sha256() const {
    Sha256 hash;
    hash.update(fmt::format("{} {}\n", rank, alpha));
    for (const LoraMatrix& matrix : matrices) {
        hash.update(fmt::format("{} {} {}\n", gguf_name(matrix.id), matrix.rows, matrix.cols));
        hash.update(std::as_bytes(std::span(matrix.a)));
        hash.update(std::as_bytes(std::span(matrix.b)));
    }
    return hash.finish();
}

std::span<const TensorRole> lora_roles() {
    return kRoles;
}

std::vector<TensorRole> parse_lora_targets(std::string_view text) {
    std::array<bool, kTargets.size()> wanted{};
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find(',', begin), text.size());
        const std::string_view name = text.substr(begin, end - begin);
        const auto target = std::ranges::find(kTargets, name, &Target::option);
        if (target == kTargets.end())
            throw Error(ErrorKind::kUsage,
                        fmt::format("--lora-targets {}: got '{}'; expected some of q,k,v,o,gate,up,down", text, name));
        wanted[static_cast<std::size_t>(target - kTargets.begin())] = true;
        begin = end + 1;
    }
    std::vector<TensorRole> roles;
    for (std::size_t i = 0; i < wanted.size(); ++i)
        if (wanted[i]) roles.push_back(kRoles[i]);
    return roles;
}

std::string lora_module_name(TensorRole role) {
    const std::string name = hf_name({role, 0});  // "model.layers.0.self_attn.q_proj.weight"
    const std::size_t end = name.rfind('.'), begin = name.rfind('.', end - 1) + 1;
    return name.substr(begin, end - begin);
}

MatrixShape lora_shape(const Architecture& architecture, const TensorId& id) {
    if (id.is_bias || id.layer < 0 || id.layer >= architecture.n_layer()) return {};
    const LayerGeometry& layer = architecture.layers[static_cast<std::size_t>(id.layer)];
    const std::int64_t n_embd = architecture.n_embd, query = std::int64_t{layer.n_head} * architecture.head_dim;
    const std::int64_t key = std::int64_t{layer.n_head_kv} * architecture.head_dim;
    MatrixShape shape;
    switch (id.role) {
        case TensorRole::kQuery:
            shape = {query, n_embd};
            break;
        case TensorRole::kKey:
        case TensorRole::kValue:
            shape = {key, n_embd};
            break;
        case TensorRole::kAttentionOutput:
            shape = {n_embd, query};
            break;
        case TensorRole::kGate:
        case TensorRole::kUp:
            shape = {layer.n_ff, n_embd};
            break;
        case TensorRole::kDown:
            shape = {n_embd, layer.n_ff};
            break;
        default:
            return {};
    }
    return shape.rows > 0 && shape.cols > 0 ? shape : MatrixShape{};
}

LoraAdapter empty_adapter(const Architecture& architecture, std::span<const TensorRole> roles, std::int32_t rank,
                          double alpha) {
    LoraAdapter adapter{.rank = rank, .alpha = alpha, .matrices = {}};
    for (int layer = 0; layer < architecture.n_layer(); ++layer)
        for (const TensorRole role : roles) {
            const TensorId id{role, layer};
            const auto [rows, cols] = lora_shape(architecture, id);
            if (rows == 0) continue;
            adapter.matrices.push_back({.id = id,
                                        .rows = rows,
                                        .cols = cols,
                                        .a = std::vector<float>(static_cast<std::size_t>(rank * cols)),
                                        .b = std::vector<float>(static_cast<std::size_t>(rows * rank))});
        }
    return adapter;
}

}  // namespace plasticity
