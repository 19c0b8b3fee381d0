#include "plasticity/verify.h"

#include <memory>

#include "artifact/adapted_model.h"
#include "artifact/device.h"
#include "artifact/report.h"
#include "core/parallel.h"
#include "core/progress.h"
#include "engine/decoder.h"
#include "model/model.h"
#include "verify/generation_check.h"
#include "verify/numerics_check.h"
#include "verify/quality_check.h"
#include "verify/size_check.h"
#include "verify/structure_check.h"
#include "verify/subject.h"

namespace plasticity {
namespace {

std::optional<Device> asked_device(const VerifyOptions& options) {
    if (!options.device) return std::nullopt;
    return parse_device(*options.device);
}

std::unique_ptr<Model> open_base(const VerifyOptions& options) {
    return options.base ? open_model(*options.base, options.base_adapter) : nullptr;
}

std::optional<PredictedKl> predicted_kl(const Subject& subject) {
    if (!subject.recipe || !subject.recipe->predicted_kl) return std::nullopt;
    return PredictedKl{*subject.recipe->predicted_kl, subject.recipe->predicted_kl_error};
}

}  // namespace

Report verify(const VerifyOptions& options, Progress& progress) {
    const std::optional<Device> device = asked_device(options);
    const Subject subject(locate_model(options.model));
    const std::unique_ptr<Model> base = open_base(options);
    const int threads = options.threads > 0 ? options.threads : default_thread_count();

    Report report;
    report.model_path = options.model.string();
    report.file_bytes = subject.file.file().size();
    report.architecture = subject.file.metadata().text_or("general.architecture", "unknown");

    if (subject.recipe) {
        report.stock = subject.recipe->stock;
        report.stock_reason = subject.recipe->stock_reason;
    }
    report.checks.push_back(check_structure(subject, base.get()));
    report.checks.push_back(check_types(subject));
    report.checks.push_back(check_numerics(subject.file, threads, progress));
    report.checks.push_back(check_file_size(subject));
    report.checks.push_back(check_memory(subject, device));
    if (!report.passed()) return report;  // what is broken is not run

    if (subject.model->architecture().experts.count > 0) {
        progress.note("not run: a mixture of experts, which this program does not run; its form alone was checked");
        return report;
    }

    Decoder decoder(*subject.model,
                    {.context_length = options.context, .threads = options.threads, .backend = options.backend},
                    progress);
    check_generation(*subject.model, decoder, report);
    if (base && !options.data.empty()) check_quality(*base, decoder, options, report, progress);
    if (report.quality) report.predicted_kl = predicted_kl(subject);
    return report;
}

}  // namespace plasticity
