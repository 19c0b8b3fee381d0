#include "verify/quality_check.h"

#include <fmt/format.h>

#include <cmath>

#include "core/error.h"
#include "engine/evaluate.h"
#include "engine/tokenizer.h"
#include "io/corpus.h"
#include "verify/subject.h"

namespace plasticity {
namespace {

Check judge_quality(const QualityPanel& quality) {
    std::vector<std::string> problems;
    for (const double value : {quality.mean_kl, quality.p999_kl, quality.max_kl, quality.perplexity})
        if (!std::isfinite(value)) problems.push_back("divergence or perplexity is not finite");
    if (quality.positions <= 0) problems.push_back("no position was scored");
    return make_check("kl divergence", problems,
                      fmt::format("mean {:.4f}, median {:.4f}, 99.9 % {:.3f} nats over {} positions; perplexity {:.4f} "
                                  "against {:.4f}; the same most likely token at {:.2f} %",
                                  quality.mean_kl, quality.median_kl, quality.p999_kl, quality.positions,
                                  quality.perplexity, quality.base_perplexity, 100 * quality.top1_agreement));
}

}  // namespace

void check_quality(const Model& base, Decoder& decoder, const VerifyOptions& options, Report& report,
                   Progress& progress) {
    const Tokenizer tokenizer(base.tokenizer());
    const EvaluationText text =
        prepare_evaluation(tokenizer, read_plain_text(options.data), options.context, options.chunks);
    Decoder base_decoder(
        base, {.context_length = options.context, .threads = options.threads, .backend = options.backend}, progress);
    decoder.clear();
    try {
        report.quality = compare(base_decoder, decoder, text, progress);
        report.checks.push_back(judge_quality(*report.quality));
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::kMalformed) throw;
        report.checks.push_back(make_check("kl divergence", {error.what()}, ""));
    }
}

}  // namespace plasticity
