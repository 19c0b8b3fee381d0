#include "api/stages.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "api/stage_files.h"
#include "api/stage_requests.h"
#include "api/stage_results.h"
#include "artifact/json_text.h"
#include "artifact/report.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

/// A checkpoint of a stage that has ended: nothing is left to continue.
void remove_checkpoint(const std::optional<fs::path>& checkpoint) {
    std::error_code ignored;
    if (checkpoint) fs::remove(*checkpoint, ignored);
}

}  // namespace

StageOutcome score_stage(std::string_view options, const StageListener& listener) {
    const ScoreRequest request = read_score_request(options);
    const ScoreOptions& score_options = request.options;
    require_outputs(files_of(score_options, request.output), request.overwrite);
    ListeningProgress progress(listener);
    const GateGradients gradients = score(score_options, progress);
    save_gate_gradients(gradients, request.output, request.overwrite);
    remove_checkpoint(score_options.checkpoint);
    return {json_line(score_result_json(gradients, request.output, score_options.save_adapter))};
}

StageOutcome plan_stage(std::string_view options, const StageListener& listener) {
    const PlanRequest request = read_plan_request(options);
    const PlanOptions& plan_options = request.options;
    require_outputs(files_of(plan_options, request.output), request.overwrite);
    ListeningProgress progress(listener);
    std::string recipe = plan_to_file(plan_options, request.output, request.overwrite, progress);
    remove_checkpoint(plan_options.trials.checkpoint);
    return {std::move(recipe)};
}

StageOutcome compress_stage(std::string_view options, const StageListener& listener) {
    const CompressRequest request = read_compress_request(options);
    const CompressOptions& compress_options = request.options;
    if (!compress_options.dry_run)
        require_outputs(files_of(compress_options, request.recipe, {}),
                        compress_options.overwrite ? Overwrite::kReplace : Overwrite::kRefuse);
    ListeningProgress progress(listener);
    const CompressResult done = compress(compress_options, request.recipe, progress);
    return {json_line(compress_result_json(done, compress_options))};
}

StageOutcome verify_stage(std::string_view options, const StageListener& listener) {
    const VerifyRequest request = read_verify_request(options);
    const VerifyOptions& verify_options = request.options;
    require_outputs(files_of(verify_options, request.output), request.overwrite);
    ListeningProgress progress(listener);
    const Report report = verify(verify_options, progress);
    if (!request.output.empty()) save_report(report, request.output, request.overwrite);
    return {report_to_json(report), report.passed()};
}

StageOutcome infer_stage(std::string_view options, const StageListener& listener) {
    const InferOptions infer_options = read_infer_request(options);
    ListeningProgress progress(listener);
    const InferResult result = infer(infer_options, [&](std::string_view piece) { progress.text(piece); }, progress);
    return {json_line(infer_result_json(result, infer_options))};
}

}  // namespace plasticity
