#include "plasticity/verify.h"

#include <memory>
#include <optional>

#include "artifact/adapted_model.h"
#include "artifact/device.h"
#include "artifact/report.h"
#include "artifact/thresholds.h"
#include "core/error.h"
#include "core/progress.h"
#include "model/model.h"
#include "verify/file_checks.h"
#include "verify/running_checks.h"
#include "verify/stock_check.h"
#include "verify/subject.h"
#include "verify/task_check.h"

namespace plasticity {
namespace {

/// What the options stand for, read and found fit before anything is computed.
Demands read_demands(const VerifyOptions& options) {
    Demands demands;
    if (options.device) demands.device = parse_device(*options.device);
    if (options.thresholds) demands.thresholds = load_thresholds(*options.thresholds);
    if (options.tasks) demands.tasks = load_tasks(*options.tasks);
    if (options.stock) demands.stock = find_stock_tools(*options.stock);
    require_checkers(demands.tasks);
    if (!options.data.empty() && !options.base && !options.stock)
        throw Error(ErrorKind::kUsage,
                    "verify: --data is measured against --base, or beside --stock; give one of them");
    if (demands.thresholds.needs_base() && !options.base)
        throw Error(ErrorKind::kUsage,
                    "verify: thresholds bound what is measured against the base; give --base and --data");
    if (demands.thresholds.min_task_accuracy && !options.tasks)
        throw Error(ErrorKind::kUsage, "verify: thresholds bound minTaskAccuracy; give --tasks");
    if (demands.stock && options.data.empty())
        throw Error(ErrorKind::kUsage, "verify: --stock computes probabilities of a text; give --data");
    return demands;
}

Report begin_report(const VerifyOptions& options, const Subject& subject) {
    Report report;
    report.model_path = options.model.string();
    report.file_bytes = subject.file.file().size();
    report.architecture = subject.file.metadata().text_or("general.architecture", "unknown");
    if (subject.recipe) {
        report.stock = subject.recipe->stock;
        report.stock_reason = subject.recipe->stock_reason;
    }
    return report;
}

std::optional<PredictedKl> predicted_kl(const Subject& subject) {
    if (!subject.recipe || !subject.recipe->predicted_kl) return std::nullopt;
    return PredictedKl{*subject.recipe->predicted_kl, subject.recipe->predicted_kl_error};
}

}  // namespace

Report verify(const VerifyOptions& options, Progress& progress) {
    const Demands demands = read_demands(options);
    const Subject subject(locate_model(options.model));
    const std::unique_ptr<Model> base = options.base ? open_model(*options.base, options.base_adapter) : nullptr;

    Report report = begin_report(options, subject);
    check_file(subject, base.get(), demands, options, {report, progress});
    if (!report.passed()) return report;  // what is broken is not run

    if (subject.model->architecture().experts.count > 0) {
        progress.note("not run: a mixture of experts, which this program does not run; its form alone was checked");
        return report;
    }
    check_running(subject, base.get(), demands, options, {report, progress});
    if (report.quality) report.predicted_kl = predicted_kl(subject);
    return report;
}

}  // namespace plasticity
