#include "verify/file_checks.h"

#include "core/parallel.h"
#include "verify/numerics_check.h"
#include "verify/size_check.h"
#include "verify/structure_check.h"
#include "verify/weights_check.h"

namespace plasticity {

void check_file(const Subject& subject, const Model* base, const Demands& demands, const VerifyOptions& options,
                Findings findings) {
    const int threads = thread_count(options.threads);
    auto& checks = findings.report.checks;
    checks.push_back(check_structure(subject, base));
    const bool is_sound = checks.back().passed;
    checks.push_back(check_types(subject));
    checks.push_back(check_numerics(subject.file, threads, findings.progress));
    if (is_sound && base != nullptr && subject.recipe)
        checks.push_back(check_weights(subject, *base, demands.thresholds.min_weight_similarity));
    checks.push_back(check_file_size(subject));
    checks.push_back(check_memory(subject, demands.device));
}

}  // namespace plasticity
