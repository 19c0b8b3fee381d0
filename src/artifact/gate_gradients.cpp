#include "artifact/gate_gradients.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "artifact/fine_tune_record.h"
#include "artifact/json_text.h"
#include "core/error.h"
#include "io/atomic_file.h"
#include "io/problem_list.h"
#include "io/strict_json.h"
#include "model/attempt.h"

namespace plasticity {
namespace {

using Rows = std::vector<std::vector<double>>;

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{256} << 20;
constexpr std::int64_t kMaxCount = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMaxHeads = 1 << 20;
/// Printed and derived scores differ by rounding only.
constexpr double kScoreTolerance = 1e-9;

[[noreturn]] void malformed(std::string_view where, const std::string& problem) {
    throw Error(ErrorKind::kMalformed, fmt::format("{}: {}", where, problem));
}

/// Linear between the two nearest ranks, as numpy's percentile.
double percentile_99(std::vector<double> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const double rank = 0.99 * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(rank);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (rank - static_cast<double>(below)) * (values[above] - values[below]);
}

void require_shape(const Rows& rows, const Rows& like, std::string_view name, std::string_view where) {
    if (rows.size() != like.size())
        malformed(where, fmt::format("{} has {} layers; absolute_sums has {}", name, rows.size(), like.size()));
    for (std::size_t layer = 0; layer < rows.size(); ++layer)
        if (rows[layer].size() != like[layer].size())
            malformed(where, fmt::format("{}: layer {} has {} heads; absolute_sums has {}", name, layer,
                                         rows[layer].size(), like[layer].size()));
}

void require_values(const Rows& rows, double lowest, std::string_view name, std::string_view where) {
    for (std::size_t layer = 0; layer < rows.size(); ++layer)
        for (std::size_t head = 0; head < rows[layer].size(); ++head) {
            const double value = rows[layer][head];
            if (!std::isfinite(value) || value < lowest)
                malformed(where, fmt::format("{}: layer {}, head {} is {}; expected a finite number{}", name, layer,
                                             head, value, lowest == 0 ? " of at least 0" : ""));
        }
}

void require_head_counts(const GateGradients& gradients, std::string_view where) {
    const Rows& sums = gradients.absolute_sums;
    if (sums.empty()) malformed(where, "no layers; expected at least one");
    if (gradients.layer_kv_heads.size() != sums.size())
        malformed(where, fmt::format("layer_kv_heads has {} layers; absolute_sums has {}",
                                     gradients.layer_kv_heads.size(), sums.size()));
    std::size_t most_heads = 0;
    std::int32_t most_kv_heads = 0;
    for (std::size_t layer = 0; layer < sums.size(); ++layer) {
        const std::size_t heads = sums[layer].size();
        const std::int32_t kv_heads = gradients.layer_kv_heads[layer];
        const bool spread = heads == 0 ? kv_heads == 0 : kv_heads > 0 && heads % kv_heads == 0;
        if (!spread)
            malformed(where, fmt::format("layer {}: {} query heads on {} KV heads; expected a multiple", layer, heads,
                                         kv_heads));
        most_heads = std::max(most_heads, heads);
        most_kv_heads = std::max(most_kv_heads, kv_heads);
    }
    if (gradients.num_heads < 0 || most_heads != static_cast<std::size_t>(gradients.num_heads) ||
        most_kv_heads != gradients.num_kv_heads)
        malformed(where, fmt::format("num_heads {} and num_kv_heads {}; the layers have {} and {}", gradients.num_heads,
                                     gradients.num_kv_heads, most_heads, most_kv_heads));
}

void require_sound_slice(const GateGradients& gradients, std::string_view where) {
    const auto& [part, first_gradients] = *gradients.slice;
    if (part.index < 1 || part.index > part.count || part.count > kMaxSlices || part.size() != gradients.num_steps)
        malformed(where, fmt::format("slice {} of {} of {} examples holds {}; expected the examples of such a slice",
                                     part.index, part.count, part.n_examples, gradients.num_steps));
    require_shape(first_gradients, gradients.absolute_sums, "first_gradients", where);
    require_values(first_gradients, 0, "first_gradients", where);
}

void require_consistent(const GateGradients& gradients, std::string_view where) {
    require_head_counts(gradients, where);
    if (gradients.num_steps < 1) malformed(where, fmt::format("num_steps is {}; expected ≥ 1", gradients.num_steps));
    if (!std::isfinite(gradients.mean_loss) || gradients.mean_loss < 0)
        malformed(where, fmt::format("mean_loss is {}; expected a finite number ≥ 0", gradients.mean_loss));
    require_shape(gradients.signed_sums, gradients.absolute_sums, "signed_sums", where);
    require_shape(gradients.moving_averages, gradients.absolute_sums, "moving_averages", where);
    require_values(gradients.absolute_sums, 0, "absolute_sums", where);
    require_values(gradients.signed_sums, -std::numeric_limits<double>::max(), "signed_sums", where);
    require_values(gradients.moving_averages, 0, "moving_averages", where);
    if (gradients.slice) require_sound_slice(gradients, where);
}

void require_same_scores(const Rows& printed, const GateGradients& gradients, std::string_view where) {
    require_shape(printed, gradients.absolute_sums, "layer_scores", where);
    const Rows derived = gradients.layer_scores();
    for (std::size_t layer = 0; layer < printed.size(); ++layer)
        for (std::size_t head = 0; head < printed[layer].size(); ++head) {
            const double a = printed[layer][head], b = derived[layer][head];
            if (!(std::abs(a - b) <= kScoreTolerance * std::max(std::abs(a), std::abs(b))))
                malformed(where, fmt::format("layer_scores: layer {}, head {} is {}; absolute_sums give {}. Was one of "
                                             "them edited?",
                                             layer, head, a, b));
        }
}

/// Another trainer's file: scores are all it knows, so they stand for the means.
void read_foreign(ObjectReader& reader, ProblemList& problems, GateGradients& gradients) {
    Rows scores;
    attempt(problems, [&] { scores = reader.number_rows("layer_scores"); });
    attempt(problems, [&] { reader.finish(); });
    problems.throw_if_any();
    for (std::size_t layer = 0; layer < scores.size(); ++layer)
        if (scores[layer].size() != static_cast<std::size_t>(gradients.num_heads))
            problems.add(fmt::format("layer_scores: layer {} has {} heads; num_heads is {}", layer,
                                     scores[layer].size(), gradients.num_heads));
    problems.throw_if_any();
    gradients.layer_kv_heads.assign(scores.size(), gradients.num_kv_heads);
    gradients.moving_averages = scores;
    gradients.signed_sums.resize(scores.size());
    for (std::size_t layer = 0; layer < scores.size(); ++layer) {
        gradients.signed_sums[layer].assign(scores[layer].size(), 0.0);
        for (double& score : scores[layer]) score *= static_cast<double>(gradients.num_steps);
    }
    gradients.absolute_sums = std::move(scores);
}

ScoreProvenance read_provenance(const nlohmann::json& json) {
    ObjectReader reader(json, "provenance");
    ScoreProvenance provenance;
    provenance.model_sha256 = reader.text("model_sha256");
    provenance.tokenizer_sha256 = reader.text("tokenizer_sha256");
    provenance.data_sha256 = reader.text("data_sha256");
    provenance.chunk = static_cast<std::int32_t>(reader.integer("chunk", 0, std::numeric_limits<std::int32_t>::max()));
    provenance.precision = reader.text("precision");
    provenance.program_version = reader.text("program_version");
    if (reader.has("adapter_sha256")) provenance.adapter_sha256 = reader.text("adapter_sha256");
    reader.finish();
    return provenance;
}

GateSlice read_slice(const nlohmann::json& json) {
    ObjectReader reader(json, "slice");
    GateSlice slice;
    slice.part.count = static_cast<std::int32_t>(reader.integer("count", 1, kMaxSlices));
    slice.part.index = static_cast<std::int32_t>(reader.integer("index", 1, slice.part.count));
    slice.part.n_examples = reader.integer("num_examples", 1, kMaxCount);
    slice.first_gradients = reader.number_rows("first_gradients");
    reader.finish();
    return slice;
}

nlohmann::ordered_json slice_json(const GateSlice& slice) {
    return {{"index", slice.part.index},
            {"count", slice.part.count},
            {"num_examples", slice.part.n_examples},
            {"first_gradients", slice.first_gradients}};
}

/// @returns the scores as printed in the file, empty where there are none
Rows read_own(ObjectReader& reader, ProblemList& problems, GateGradients& gradients) {
    Rows printed;
    attempt(problems, [&] { gradients.num_tokens = reader.integer("num_tokens", 0, kMaxCount); });
    attempt(problems, [&] { gradients.mean_loss = reader.number("mean_loss"); });
    attempt(problems, [&] { gradients.layer_kv_heads = reader.integers("layer_kv_heads", 0); });
    attempt(problems, [&] { gradients.absolute_sums = reader.number_rows("absolute_sums"); });
    attempt(problems, [&] { gradients.signed_sums = reader.number_rows("signed_sums"); });
    attempt(problems, [&] { gradients.moving_averages = reader.number_rows("moving_averages"); });
    attempt(problems, [&] { gradients.provenance = read_provenance(reader.value("provenance")); });
    if (reader.has("slice")) attempt(problems, [&] { gradients.slice = read_slice(reader.value("slice")); });
    if (reader.has("fine_tune"))
        attempt(problems, [&] { gradients.fine_tune = read_fine_tune(reader.value("fine_tune")); });
    if (reader.has("layer_scores")) attempt(problems, [&] { printed = reader.number_rows("layer_scores"); });
    attempt(problems, [&] { reader.finish(); });
    return printed;
}

}  // namespace

std::vector<std::vector<double>> GateGradients::layer_scores() const {
    const double steps = static_cast<double>(std::max<std::int64_t>(num_steps, 1));
    Rows scores = absolute_sums;
    std::vector<double> all;
    for (auto& row : scores)
        for (double& score : row) {
            score /= steps;
            all.push_back(score);
        }
    const double scale = percentile_99(std::move(all));
    for (auto& row : scores)
        for (double& score :
             row)  // a scale of 0: hardly any head ever saw a gradient; those that did are the critical ones
            score = scale > 0 ? std::min(score / scale, 1.0) : (score > 0 ? 1.0 : 0.0);
    return scores;
}

void save_gate_gradients(const GateGradients& gradients, const std::filesystem::path& target, Overwrite overwrite) {
    require_consistent(gradients, "gate gradients to be saved to " + target.string());
    nlohmann::ordered_json json;
    json["schema_version"] = GateGradients::kSchemaVersion;
    json["model_name"] = gradients.model_name;
    json["num_heads"] = gradients.num_heads;
    json["num_kv_heads"] = gradients.num_kv_heads;
    json["num_steps"] = gradients.num_steps;
    json["num_tokens"] = gradients.num_tokens;
    json["mean_loss"] = gradients.mean_loss;
    json["layer_kv_heads"] = gradients.layer_kv_heads;
    json["layer_scores"] = gradients.layer_scores();
    json["absolute_sums"] = gradients.absolute_sums;
    json["signed_sums"] = gradients.signed_sums;
    json["moving_averages"] = gradients.moving_averages;
    auto& provenance = json["provenance"];
    provenance["model_sha256"] = gradients.provenance.model_sha256;
    provenance["tokenizer_sha256"] = gradients.provenance.tokenizer_sha256;
    provenance["data_sha256"] = gradients.provenance.data_sha256;
    provenance["chunk"] = gradients.provenance.chunk;
    provenance["precision"] = gradients.provenance.precision;
    provenance["program_version"] = gradients.provenance.program_version;
    if (!gradients.provenance.adapter_sha256.empty())
        provenance["adapter_sha256"] = gradients.provenance.adapter_sha256;
    if (gradients.fine_tune) json["fine_tune"] = fine_tune_json(*gradients.fine_tune);
    if (gradients.slice) json["slice"] = slice_json(*gradients.slice);
    write_text_file(target, json_text(json), overwrite);
}

GateGradients load_gate_gradients(const std::filesystem::path& path) {
    const auto json = parse_strict_json(read_text_file(path, kMaxFileBytes), path.string());
    ObjectReader reader(json, path.string());
    const bool is_own = reader.has("schema_version");
    if (is_own) reader.require_schema("schema_version", GateGradients::kSchemaVersion);

    ProblemList problems(path.string());
    ObjectReader fields(json, "gate gradients");
    if (is_own) (void)fields.value("schema_version");
    GateGradients gradients;
    const auto count = [&](std::string_view key) {
        std::int32_t value = 0;
        attempt(problems, [&] { value = static_cast<std::int32_t>(fields.integer(key, 0, kMaxHeads)); });
        return value;
    };
    attempt(problems, [&] { gradients.model_name = fields.text("model_name"); });
    gradients.num_heads = count("num_heads");
    gradients.num_kv_heads = count("num_kv_heads");
    attempt(problems, [&] { gradients.num_steps = fields.integer("num_steps", 1, kMaxCount); });
    Rows printed;
    if (is_own)
        printed = read_own(fields, problems, gradients);
    else
        read_foreign(fields, problems, gradients);
    problems.throw_if_any();
    require_consistent(gradients, path.string());
    if (is_own && fields.has("layer_scores")) require_same_scores(printed, gradients, path.string());
    return gradients;
}

}  // namespace plasticity
