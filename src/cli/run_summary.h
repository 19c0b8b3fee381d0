#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "artifact/recipe.h"
#include "artifact/report.h"
#include "plasticity/infer.h"

namespace plasticity {

/// What `plasticity run` ends with.
struct RunSummary {
    Recipe recipe;
    Report report;
    std::filesystem::path model;
    std::filesystem::path output;
    std::string output_sha256;
    std::filesystem::path report_path;
    std::string prompt;
    InferResult sample;
    std::filesystem::path page_path;  ///< report.html
    bool is_reproduction = false;     ///< of an earlier run,
    std::string difference;           ///< which it differs from; empty: the output is the same

    bool succeeded() const { return report.passed() && difference.empty(); }
};

/// One screen of text.
std::string summary_text(const RunSummary& summary);
nlohmann::ordered_json summary_json(const RunSummary& summary);

}  // namespace plasticity
