#include "artifact/quality.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "artifact/json_text.h"

namespace plasticity {

std::string estimate_text(double value, const std::optional<double>& error) {
    return error ? fmt::format("{:.4g} ± {:.2g}", value, *error) : fmt::format("{:.4g}", value);
}

std::string QualityPanel::mean_kl_text() const {
    return estimate_text(mean_kl, mean_kl_error);
}

nlohmann::ordered_json quality_json(const QualityPanel& quality) {
    nlohmann::ordered_json json;
    json["positions"] = quality.positions;
    json["meanKl"] = quality.mean_kl;
    if (quality.mean_kl_error) json["meanKlError"] = *quality.mean_kl_error;
    json["medianKl"] = quality.median_kl;
    json["p999Kl"] = quality.p999_kl;
    json["maxKl"] = quality.max_kl;
    json["basePerplexity"] = quality.base_perplexity;
    json["perplexity"] = quality.perplexity;
    json["perplexityRatio"] = quality.perplexity_ratio();
    json["top1Agreement"] = quality.top1_agreement;
    if (quality.errors) {
        json["medianKlError"] = quality.errors->median_kl;
        json["p999KlError"] = quality.errors->p999_kl;
        json["perplexityError"] = quality.errors->perplexity;
        json["perplexityRatioError"] = quality.errors->perplexity_ratio;
        json["top1AgreementError"] = quality.errors->top1_agreement;
    }
    if (!quality.histogram.counts.empty()) {
        json["histogram"]["edges"] = quality.histogram.edges;
        json["histogram"]["counts"] = quality.histogram.counts;
    }
    return json;
}

namespace {

std::optional<QualityErrors> read_errors(ObjectReader& reader) {
    if (!reader.has("medianKlError")) return std::nullopt;
    QualityErrors errors;
    errors.median_kl = reader.amount("medianKlError");
    errors.p999_kl = reader.amount("p999KlError");
    errors.perplexity = reader.amount("perplexityError");
    errors.perplexity_ratio = reader.amount("perplexityRatioError");
    errors.top1_agreement = reader.amount("top1AgreementError");
    return errors;
}

KlHistogram read_histogram(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    KlHistogram histogram;
    histogram.edges = reader.numbers("edges");
    for (const std::int32_t count : reader.integers("counts", 0)) histogram.counts.push_back(count);
    if (histogram.counts.empty() || histogram.edges.size() != histogram.counts.size() + 1)
        reader.fail("edges", fmt::format("holds {} numbers beside {} counts; expected one more than counts",
                                         histogram.edges.size(), histogram.counts.size()));
    reader.finish();
    return histogram;
}

}  // namespace

QualityPanel read_quality(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    QualityPanel quality;
    quality.positions = reader.integer("positions", 1, std::numeric_limits<std::int64_t>::max());
    quality.mean_kl = reader.number("meanKl");
    if (reader.has("meanKlError")) quality.mean_kl_error = reader.number("meanKlError");
    quality.median_kl = reader.number("medianKl");
    quality.p999_kl = reader.number("p999Kl");
    quality.max_kl = reader.number("maxKl");
    quality.base_perplexity = reader.number("basePerplexity");
    quality.perplexity = reader.number("perplexity");
    reader.number("perplexityRatio");  // follows from the two
    quality.top1_agreement = reader.number("top1Agreement");
    quality.errors = read_errors(reader);
    if (reader.has("histogram")) quality.histogram = read_histogram(reader.value("histogram"), where + ": histogram");
    reader.finish();
    return quality;
}

}  // namespace plasticity
