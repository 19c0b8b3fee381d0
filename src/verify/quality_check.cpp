#include "verify/quality_check.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "verify/subject.h"

namespace plasticity {
namespace {

void require_at_most(std::string_view what, double got, const std::optional<double>& limit,
                     std::vector<std::string>& problems) {
    if (limit && !(got <= *limit))
        problems.push_back(fmt::format("{} {:.4g}; expected at most {:.4g}", what, got, *limit));
}

}  // namespace

Check judge_quality(const QualityPanel& quality, const Thresholds& thresholds) {
    std::vector<std::string> problems;
    for (const double value : {quality.mean_kl, quality.p999_kl, quality.max_kl, quality.perplexity})
        if (!std::isfinite(value)) {
            problems.push_back("divergence or perplexity is not finite");
            break;
        }
    if (quality.positions <= 0) problems.push_back("no position was scored");
    require_at_most("mean KL", quality.mean_kl, thresholds.max_mean_kl, problems);
    require_at_most("median KL", quality.median_kl, thresholds.max_median_kl, problems);
    require_at_most("99.9 % of KL", quality.p999_kl, thresholds.max_p999_kl, problems);
    require_at_most("perplexity ratio", quality.perplexity_ratio(), thresholds.max_perplexity_ratio, problems);
    if (thresholds.min_top1_agreement && !(quality.top1_agreement >= *thresholds.min_top1_agreement))
        problems.push_back(fmt::format("the same most likely token at {:.2f} %; expected at least {:.2f} %",
                                       100 * quality.top1_agreement, 100 * *thresholds.min_top1_agreement));
    return make_check("kl divergence", problems,
                      fmt::format("mean {:.4f}, median {:.4f}, 99.9 % {:.3f} nats over {} positions; perplexity {:.4f} "
                                  "against {:.4f}; the same most likely token at {:.2f} %",
                                  quality.mean_kl, quality.median_kl, quality.p999_kl, quality.positions,
                                  quality.perplexity, quality.base_perplexity, 100 * quality.top1_agreement));
}

void check_quality(Decoder& base, Decoder& decoder, const EvaluationText& text, const Thresholds& thresholds,
                   Findings findings) {
    Report& report = findings.report;
    try {
        report.quality = compare(base, decoder, text, findings.progress);
        report.checks.push_back(judge_quality(*report.quality, thresholds));
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::kMalformed) throw;
        report.checks.push_back(make_check("kl divergence", {error.what()}, ""));
    }
}

}  // namespace plasticity
