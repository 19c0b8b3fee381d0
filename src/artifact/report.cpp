#include "artifact/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "artifact/json_text.h"

namespace plasticity {
namespace {

using Json = nlohmann::ordered_json;

Json peak_json(const RunTimePeak& peak) {
    Json json;
    json["context"] = peak.context_length;
    json["predictedBytes"] = peak.predicted_bytes;
    json["measuredBytes"] = peak.measured_bytes;
    return json;
}

Json coherence_json(const OutputCoherence& coherence) {
    Json json;
    json["tokens"] = coherence.tokens;
    json["repetition"] = coherence.repetition;
    json["entropy"] = coherence.entropy;
    json["perplexity"] = coherence.perplexity;
    json["judgedBy"] = coherence.judged_by_base ? "base" : "itself";
    return json;
}

Json tasks_json(const TaskResults& tasks) {
    Json json;
    json["path"] = tasks.path;
    json["count"] = tasks.outcomes.size();
    json["passed"] = tasks.n_passed();
    json["accuracy"] = tasks.accuracy();
    json["accuracyError"] = tasks.standard_error();
    json["outcomes"] = Json::array();
    for (const TaskOutcome& outcome : tasks.outcomes) {
        Json item;
        item["name"] = outcome.name;
        item["passed"] = outcome.passed;
        item["output"] = outcome.output;
        if (!outcome.passed) item["detail"] = outcome.detail;
        json["outcomes"].push_back(std::move(item));
    }
    return json;
}

Json stock_json(const StockComparison& stock) {
    Json json;
    json["tool"] = stock.tool;
    json["positions"] = stock.positions;
    json["meanKl"] = stock.mean_kl;
    json["maxKl"] = stock.max_kl;
    json["codeStep"] = stock.code_step;
    json["top1Agreement"] = stock.top1_agreement;
    json["stockPerplexity"] = stock.stock_perplexity;
    json["ownPerplexity"] = stock.own_perplexity;
    return json;
}

}  // namespace

std::size_t TaskResults::n_passed() const {
    return static_cast<std::size_t>(std::ranges::count_if(outcomes, &TaskOutcome::passed));
}

double TaskResults::accuracy() const {
    return outcomes.empty() ? 0 : static_cast<double>(n_passed()) / static_cast<double>(outcomes.size());
}

double TaskResults::standard_error() const {
    const double share = accuracy();
    return outcomes.empty() ? 0 : std::sqrt(share * (1 - share) / static_cast<double>(outcomes.size()));
}

bool Report::passed() const {
    return std::all_of(checks.begin(), checks.end(), [](const Check& check) { return check.passed; });
}

std::string report_to_json(const Report& report) {
    nlohmann::ordered_json json;
    json["schemaVersion"] = Report::kSchemaVersion;
    json["modelPath"] = report.model_path;
    json["fileBytes"] = report.file_bytes;
    json["architecture"] = report.architecture;
    if (report.stock) {
        json["stock"] = *report.stock;
        json["stockReason"] = report.stock_reason;
    }
    json["passed"] = report.passed();
    json["checks"] = nlohmann::ordered_json::array();
    for (const Check& check : report.checks) {
        nlohmann::ordered_json item;
        item["name"] = check.name;
        item["passed"] = check.passed;
        item["detail"] = check.detail;
        json["checks"].push_back(std::move(item));
    }
    if (report.quality) {
        auto& quality = json["quality"] = quality_json(*report.quality);
        if (report.predicted_kl) quality["predictedKl"] = report.predicted_kl->value;
        if (report.predicted_kl && report.predicted_kl->standard_error)
            quality["predictedKlError"] = *report.predicted_kl->standard_error;
    }
    if (report.peak) json["runTimePeak"] = peak_json(*report.peak);
    if (report.coherence) json["coherence"] = coherence_json(*report.coherence);
    if (report.tasks) json["tasks"] = tasks_json(*report.tasks);
    if (report.stock_comparison) json["stockComparison"] = stock_json(*report.stock_comparison);
    json["testPrompt"] = report.test_prompt;
    json["testOutput"] = report.test_output;
    return json_text(json);
}

void save_report(const Report& report, const std::filesystem::path& target, Overwrite overwrite) {
    write_text_file(target, report_to_json(report), overwrite);
}

}  // namespace plasticity
