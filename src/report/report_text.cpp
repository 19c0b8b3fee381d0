#include "report/report_text.h"

#include <fmt/format.h>

#include "core/units.h"

namespace plasticity {
namespace {

std::string prediction_text(const PredictedKl& predicted, double measured) {
    const std::string bar = predicted.standard_error ? fmt::format(" ± {:.2g}", *predicted.standard_error) : "";
    return fmt::format("mean KL {:.4g}{}, measured {:.4g}", predicted.value, bar, measured);
}

}  // namespace

std::string quality_text(const QualityPanel& quality) {
    const std::string bar = quality.mean_kl_error ? fmt::format(" ± {:.4f}", *quality.mean_kl_error) : "";
    return fmt::format(
        "mean KL {:.4f}{}, median {:.4f}, 99.9 % {:.3f}, top-1 {:.1f} %, perplexity {:.4f} against {:.4f} (×{:.4f}) "
        "over {} positions",
        quality.mean_kl, bar, quality.median_kl, quality.p999_kl, 100 * quality.top1_agreement, quality.perplexity,
        quality.base_perplexity, quality.perplexity_ratio(), quality.positions);
}

std::string report_text(const Report& report) {
    std::string text =
        fmt::format("{}: {} ({})\n", report.model_path, format_bytes(report.file_bytes), report.architecture);
    for (const Check& check : report.checks)
        text += fmt::format("  {} {:<15} {}\n", check.passed ? "ok  " : "FAIL", check.name, check.detail);
    if (report.quality) text += fmt::format("  quality: {}\n", quality_text(*report.quality));
    if (report.quality && report.predicted_kl)
        text += fmt::format("  predicted: {}\n", prediction_text(*report.predicted_kl, report.quality->mean_kl));
    text += report.passed() ? "verified" : "NOT verified";
    return text;
}

}  // namespace plasticity
