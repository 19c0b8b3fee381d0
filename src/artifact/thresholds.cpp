#include "artifact/thresholds.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "artifact/json_text.h"
#include "io/atomic_file.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 20;

template <typename Value>
void read_amount(ObjectReader& reader, std::string_view key, Value& value) {
    if (reader.has(key)) value = reader.amount(key);
}

template <typename Value>
void read_share(ObjectReader& reader, std::string_view key, Value& value) {
    if (!reader.has(key)) return;
    const double share = reader.amount(key);
    if (share > 1) reader.fail(key, fmt::format("is {}; expected a share from 0 to 1", share));
    value = share;
}

}  // namespace

Thresholds load_thresholds(const std::filesystem::path& path) {
    const nlohmann::json json = parse_strict_json(read_text_file(path, kMaxBytes), path.string());
    ObjectReader reader(json, path.string());
    reader.require_schema("schemaVersion", Thresholds::kSchemaVersion);
    Thresholds t;
    read_amount(reader, "maxMeanKl", t.max_mean_kl);
    read_amount(reader, "maxMedianKl", t.max_median_kl);
    read_amount(reader, "maxP999Kl", t.max_p999_kl);
    read_amount(reader, "maxPerplexityRatio", t.max_perplexity_ratio);
    read_share(reader, "minTop1Agreement", t.min_top1_agreement);
    read_share(reader, "minTaskAccuracy", t.min_task_accuracy);
    read_share(reader, "minWeightSimilarity", t.min_weight_similarity);
    read_share(reader, "maxRepetition", t.max_repetition);
    read_amount(reader, "minEntropy", t.min_entropy);
    read_amount(reader, "maxOutputPerplexity", t.max_output_perplexity);
    read_amount(reader, "maxPeakRatio", t.max_peak_ratio);
    read_amount(reader, "maxStockKl", t.max_stock_kl);
    reader.finish();
    return t;
}

}  // namespace plasticity
