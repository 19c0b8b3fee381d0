#include "artifact/report.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

TEST(Report, PassesWhenEveryCheckDoes) {
    Report report;
    report.checks = {{"structure", true, "ok"}, {"numerics", true, "ok"}};
    EXPECT_TRUE(report.passed());
    report.checks.push_back({"memory", false, "12 GB; expected at most 11 GB"});
    EXPECT_FALSE(report.passed());
}

TEST(Report, PrintsQualityWhereItWasMeasured) {
    Report report;
    report.model_path = "x.gguf";
    report.file_bytes = 7;
    EXPECT_FALSE(nlohmann::json::parse(report_to_json(report)).contains("quality"));

    report.quality = QualityPanel{.positions = 2, .mean_kl = 0.5, .base_perplexity = 4, .perplexity = 5};
    report.test_output = "half a character: \xe2\x82";
    const auto json = nlohmann::json::parse(report_to_json(report));
    EXPECT_EQ(json["schemaVersion"], 1);
    EXPECT_EQ(json["quality"]["perplexityRatio"], 1.25);
    EXPECT_EQ(json["quality"]["meanKl"], 0.5);
    EXPECT_EQ(json["fileBytes"], 7);
    EXPECT_EQ(json["passed"], true);

    EXPECT_FALSE(json["quality"].contains("predictedKl"));

    const test::TempDir dir;
    save_report(report, dir / "report.json", Overwrite::kRefuse);
    EXPECT_EQ(read_text_file(dir / "report.json"), report_to_json(report));
}

TEST(Report, PrintsWhatWasPredictedBesideWhatWasMeasured) {
    Report report;
    report.quality = QualityPanel{.positions = 2, .mean_kl = 0.5};
    report.predicted_kl = PredictedKl{.value = 0.4};
    auto json = nlohmann::json::parse(report_to_json(report));
    EXPECT_EQ(json["quality"]["predictedKl"], 0.4);
    EXPECT_FALSE(json["quality"].contains("predictedKlError"));
    report.predicted_kl->standard_error = 0.05;
    json = nlohmann::json::parse(report_to_json(report));
    EXPECT_EQ(json["quality"]["predictedKlError"], 0.05);
}

TEST(Report, ReadsBackAsWritten) {
    Report report;
    report.stock = true;
    report.checks = {{"structure", false, "a; expected b"}};
    report.quality =
        QualityPanel{.positions = 2, .mean_kl = 0.5, .mean_kl_error = 0.1, .base_perplexity = 4, .perplexity = 5};
    report.quality->histogram = {.edges = {0, 1, 2}, .counts = {3, 4}};
    report.predicted_kl = PredictedKl{.value = 0.4, .standard_error = 0.05};
    report.peak = RunTimePeak{.context_length = 512, .predicted_bytes = 10, .measured_bytes = 11};
    report.coherence =
        OutputCoherence{.tokens = 64, .repetition = 0.25, .entropy = 1.5, .perplexity = 3, .judged_by_base = true};
    report.tasks = TaskResults{.path = "tasks.jsonl",
                               .outcomes = {{.name = "one", .passed = true, .output = "1", .detail = ""},
                                            {.name = "two", .passed = false, .output = "3", .detail = "not 2"}}};
    report.stock_comparison = StockComparison{.tool = "llama-perplexity",
                                              .positions = 255,
                                              .mean_kl = 1e-9,
                                              .max_kl = 1e-6,
                                              .code_step = 2e-4,
                                              .top1_agreement = 1,
                                              .stock_perplexity = 5,
                                              .own_perplexity = 5.5};
    EXPECT_EQ(report_to_json(report_from_json(report_to_json(report), "report.json")), report_to_json(report));
    EXPECT_EQ(report_to_json(report_from_json(report_to_json(Report{}), "report.json")), report_to_json(Report{}));
}

TEST(Report, RefusesWhatIsNone) {
    for (const char* text : {"[]", "{}", R"({"schemaVersion":9})", R"({"schemaVersion":1,"checks":3})"})
        test::expect_error(ErrorKind::kMalformed, {"report.json"}, [&] { report_from_json(text, "report.json"); });
}

}  // namespace
}  // namespace plasticity
