#include "artifact/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "artifact/json_text.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kMaxReportBytes = std::uint64_t{16} << 20;

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

}  // namespace

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
    report.file_bytes =
        static_cast<std::uint64_t>(reader.integer("fileBytes", 0, std::numeric_limits<std::int64_t>::max()));
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
