#include "artifact/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "artifact/json_text.h"
#include "io/atomic_file.h"

namespace plasticity {

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

void save_report(const Report& report, const std::filesystem::path& target, Overwrite overwrite) {
    write_text_file(target, report_to_json(report), overwrite);
}

}  // namespace plasticity
