#include "score/checkpoint.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/hash.h"
#include "io/gguf_reader.h"
#include "io/gguf_writer.h"

namespace plasticity {
namespace {

/// Every sum by a name, in one order; counts are doubles too, exact up to 2⁵³.
using Sums = std::map<std::string, std::vector<double>>;

constexpr std::string_view kFurther = "further.";

std::string gate_name(std::size_t layer, std::string_view what) {
    return fmt::format("gates.{}.{}", layer, what);
}

void add(Sums& sums, const std::string& name, const std::vector<double>& values) {
    if (!values.empty()) sums[name] = values;  // GGUF has no tensors without elements
}

Sums collect(const GateGradients& gradients, const Statistics& statistics, const Sums& further) {
    Sums sums;
    for (const auto& [name, values] : further) add(sums, std::string(kFurther) + name, values);
    sums["run"] = {static_cast<double>(gradients.num_steps), static_cast<double>(gradients.num_tokens),
                   gradients.mean_loss, static_cast<double>(statistics.chunk_count)};
    for (std::size_t layer = 0; layer < gradients.absolute_sums.size(); ++layer) {
        add(sums, gate_name(layer, "absolute"), gradients.absolute_sums[layer]);
        add(sums, gate_name(layer, "signed"), gradients.signed_sums[layer]);
        add(sums, gate_name(layer, "average"), gradients.moving_averages[layer]);
        if (gradients.slice) add(sums, gate_name(layer, "first"), gradients.slice->first_gradients[layer]);
    }
    for (const auto& [name, channels] : statistics.matrices) {
        add(sums, name + ".x2", channels.sum_of_squares);
        sums[name + ".count"] = {static_cast<double>(channels.count)};
    }
    for (const auto& [name, curvature] : statistics.curvature) {
        add(sums, name + ".g_rows", curvature.rows);
        add(sums, name + ".g_cols", curvature.columns);
        add(sums, name + ".g_gates", curvature.gates);
        sums[name + ".g_count"] = {static_cast<double>(curvature.count)};
    }
    return sums;
}

std::string digest_of(const Sums& sums) {
    Sha256 hash;
    for (const auto& [name, values] : sums) {
        hash.update(fmt::format("{} {}\n", name, values.size()));
        hash.update(std::as_bytes(std::span(values)));
    }
    return hash.finish();
}

/// "blk.0.attn_q.weight" of "blk.0.attn_q.weight.x2"; nothing where the name ends otherwise.
std::optional<std::string> before(const std::string& name, std::string_view suffix) {
    if (!name.ends_with(suffix)) return std::nullopt;
    return name.substr(0, name.size() - suffix.size());
}

void restore_statistic(const std::string& name, const std::vector<double>& values, Statistics& statistics) {
    if (const auto matrix = before(name, ".x2")) statistics.matrices[*matrix].sum_of_squares = values;
    if (const auto matrix = before(name, ".count"))
        statistics.matrices[*matrix].count = static_cast<std::int64_t>(values.front());
    if (const auto matrix = before(name, ".g_rows")) statistics.curvature[*matrix].rows = values;
    if (const auto matrix = before(name, ".g_cols")) statistics.curvature[*matrix].columns = values;
    if (const auto matrix = before(name, ".g_gates")) statistics.curvature[*matrix].gates = values;
    if (const auto matrix = before(name, ".g_count"))
        statistics.curvature[*matrix].count = static_cast<std::int64_t>(values.front());
}

/// As many as there must be. @throws Error (kMalformed)
const std::vector<double>& require(const Sums& sums, const std::string& name, std::size_t n) {
    const auto found = sums.find(name);
    if (found == sums.end() || found->second.size() != n)
        throw Error(ErrorKind::kMalformed, fmt::format("checkpoint: not {} sums {}", n, name));
    return found->second;
}

/// The inverse of collect(), of sums whose digest holds. @throws Error (kMalformed)
void restore(const Sums& sums, GateGradients& gradients, Statistics& statistics, Sums& further) {
    const std::vector<double>& run = require(sums, "run", 4);
    gradients.num_steps = static_cast<std::int64_t>(run.at(0));
    gradients.num_tokens = static_cast<std::int64_t>(run.at(1));
    gradients.mean_loss = run.at(2);
    statistics.chunk_count = static_cast<std::int64_t>(run.at(3));
    for (std::size_t layer = 0; layer < gradients.absolute_sums.size(); ++layer) {
        const std::size_t n_heads = gradients.absolute_sums[layer].size();
        if (n_heads == 0) continue;
        gradients.absolute_sums[layer] = require(sums, gate_name(layer, "absolute"), n_heads);
        gradients.signed_sums[layer] = require(sums, gate_name(layer, "signed"), n_heads);
        gradients.moving_averages[layer] = require(sums, gate_name(layer, "average"), n_heads);
        if (gradients.slice)
            gradients.slice->first_gradients[layer] = require(sums, gate_name(layer, "first"), n_heads);
    }
    for (const auto& [name, values] : sums)
        if (name.starts_with(kFurther))
            further[name.substr(kFurther.size())] = values;
        else if (name != "run" && !name.starts_with("gates."))
            restore_statistic(name, values, statistics);
}

GgufLayout lay_out(const Sums& sums, const std::string& key) {
    GgufLayout layout;
    layout.metadata.set("general.type", std::string("score-checkpoint"));
    layout.metadata.set("checkpoint.key", sha256_hex(key));
    layout.metadata.set("checkpoint.sha256", digest_of(sums));
    for (const auto& [name, values] : sums)
        layout.tensors.push_back({.name = name,
                                  .type = GGML_TYPE_F64,
                                  .n_dims = 1,
                                  .dims = {static_cast<std::int64_t>(values.size()), 1, 1, 1}});
    return layout;
}

/// Sums of this very run; nothing where there are none, or none that can be trusted.
std::optional<Sums> read_sums(const std::filesystem::path& path, const std::string& key) {
    try {
        const GgufReader file(path);
        if (file.metadata().text_or("checkpoint.key", "") != sha256_hex(key)) return std::nullopt;
        Sums sums;
        for (const GgufTensor& tensor : file.tensors()) {
            if (tensor.type != GGML_TYPE_F64 || tensor.n_dims != 1) return std::nullopt;
            std::vector<double>& values = sums[tensor.name];
            values.resize(static_cast<std::size_t>(tensor.row_length()));
            file.read(tensor, 0, std::as_writable_bytes(std::span(values)));
        }
        if (file.metadata().text_or("checkpoint.sha256", "") != digest_of(sums)) return std::nullopt;
        return sums;
    } catch (const Error&) {
        return std::nullopt;  // then everything is scored anew, which is always right
    }
}

}  // namespace

bool Checkpoint::load(GateGradients& gradients, Statistics& statistics, Further& further) const {
    const std::optional<Sums> sums = read_sums(path_, key_);
    if (!sums) return false;
    GateGradients restored_gradients = gradients;
    Statistics restored_statistics = statistics;
    Further restored_further;
    try {
        restore(*sums, restored_gradients, restored_statistics, restored_further);
    } catch (const Error&) {
        return false;
    }
    gradients = std::move(restored_gradients);
    statistics = std::move(restored_statistics);
    further = std::move(restored_further);
    return true;
}

void Checkpoint::save(const GateGradients& gradients, const Statistics& statistics, const Further& further) const {
    const Sums sums = collect(gradients, statistics, further);
    GgufWriter file(path_, lay_out(sums, key_), Overwrite::kReplace);
    for (const auto& [name, values] : sums) file.write(name, std::as_bytes(std::span(values)));
    file.finish();
}

}  // namespace plasticity
