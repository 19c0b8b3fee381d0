#include "artifact/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "artifact/json_text.h"
#include "artifact/quality.h"
#include "io/atomic_file.h"
#include "io/strict_json.h"

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

constexpr std::uint64_t kMaxReportBytes = std::uint64_t{16} << 20;
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

Check read_check(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    Check check{.name = reader.text("name"), .passed = reader.boolean("passed"), .detail = reader.text("detail")};
    reader.finish();
    return check;
}

/// The panel, and what stands beside its figures in the same object.
void read_quality_of(Report& report, nlohmann::json json, const std::string& where) {
    ObjectReader reader(json, where);
    if (reader.has("predictedKl")) report.predicted_kl = PredictedKl{reader.number("predictedKl"), std::nullopt};
    if (report.predicted_kl && reader.has("predictedKlError"))
        report.predicted_kl->standard_error = reader.amount("predictedKlError");
    json.erase("predictedKl");
    json.erase("predictedKlError");
    report.quality = read_quality(json, where);
}

RunTimePeak read_peak(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    RunTimePeak peak{.context_length = static_cast<std::int32_t>(reader.integer("context", 0, INT32_MAX)),
                     .predicted_bytes = static_cast<std::uint64_t>(reader.integer("predictedBytes", 0, kMost)),
                     .measured_bytes = static_cast<std::uint64_t>(reader.integer("measuredBytes", 0, kMost))};
    reader.finish();
    return peak;
}

OutputCoherence read_coherence(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    OutputCoherence coherence{.tokens = reader.integer("tokens", 0, kMost),
                              .repetition = reader.amount("repetition"),
                              .entropy = reader.number("entropy"),
                              .perplexity = reader.amount("perplexity"),
                              .judged_by_base = reader.text("judgedBy") == "base"};
    reader.finish();
    return coherence;
}

TaskOutcome read_outcome(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    TaskOutcome outcome{
        .name = reader.text("name"), .passed = reader.boolean("passed"), .output = reader.text("output"), .detail = ""};
    if (reader.has("detail")) outcome.detail = reader.text("detail");
    reader.finish();
    return outcome;
}

TaskResults read_tasks(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    TaskResults tasks{.path = reader.text("path"), .outcomes = {}};
    for (const char* follows : {"count", "passed", "accuracy", "accuracyError"}) reader.amount(follows);
    const nlohmann::json& outcomes = reader.value("outcomes");
    if (!outcomes.is_array()) reader.fail("outcomes", "is no array");
    for (const auto& outcome : outcomes)
        tasks.outcomes.push_back(read_outcome(outcome, fmt::format("{}: outcome {}", where, tasks.outcomes.size())));
    reader.finish();
    return tasks;
}

StockComparison read_stock(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    StockComparison stock{.tool = reader.text("tool"),
                          .positions = reader.integer("positions", 0, kMost),
                          .mean_kl = reader.number("meanKl"),
                          .max_kl = reader.number("maxKl"),
                          .code_step = reader.amount("codeStep"),
                          .top1_agreement = reader.amount("top1Agreement"),
                          .stock_perplexity = reader.amount("stockPerplexity"),
                          .own_perplexity = reader.amount("ownPerplexity")};
    reader.finish();
    return stock;
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

Report report_from_json(std::string_view text, const std::string& where) {
    const nlohmann::json json = parse_strict_json(text, where);
    ObjectReader reader(json, where);
    reader.require_schema("schemaVersion", Report::kSchemaVersion);
    Report report;
    report.model_path = reader.text("modelPath");
    report.file_bytes = static_cast<std::uint64_t>(reader.integer("fileBytes", 0, kMost));
    report.architecture = reader.text("architecture");
    if (reader.has("stock")) {
        report.stock = reader.boolean("stock");
        report.stock_reason = reader.text("stockReason");
    }
    reader.boolean("passed");  // follows from the checks
    const nlohmann::json& checks = reader.value("checks");
    if (!checks.is_array()) reader.fail("checks", "is no array");
    for (const auto& check : checks)
        report.checks.push_back(read_check(check, fmt::format("{}: check {}", where, report.checks.size())));
    if (reader.has("quality")) read_quality_of(report, reader.value("quality"), where + ": quality");
    if (reader.has("runTimePeak")) report.peak = read_peak(reader.value("runTimePeak"), where + ": runTimePeak");
    if (reader.has("coherence")) report.coherence = read_coherence(reader.value("coherence"), where + ": coherence");
    if (reader.has("tasks")) report.tasks = read_tasks(reader.value("tasks"), where + ": tasks");
    if (reader.has("stockComparison"))
        report.stock_comparison = read_stock(reader.value("stockComparison"), where + ": stockComparison");
    report.test_prompt = reader.text("testPrompt");
    report.test_output = reader.text("testOutput");
    reader.finish();
    return report;
}

Report load_report(const std::filesystem::path& path) {
    return report_from_json(read_text_file(path, kMaxReportBytes), path.string());
}

void save_report(const Report& report, const std::filesystem::path& target, Overwrite overwrite) {
    write_text_file(target, report_to_json(report), overwrite);
}

}  // namespace plasticity
