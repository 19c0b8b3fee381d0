#include "api/stage_files.h"

#include <initializer_list>
#include <utility>

namespace plasticity {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> joined(std::vector<fs::path> some, std::initializer_list<fs::path> more) {
    some.insert(some.end(), more);
    return some;
}

}  // namespace

CommandFiles files_of(const ScoreOptions& options, const fs::path& output) {
    return {.inputs = joined(options.data, {options.model, options.adapter.value_or("")}),
            .outputs = {output, options.statistics.value_or(""), options.gram.value_or("")}};
}

CommandFiles files_of(const PlanOptions& options, const fs::path& output) {
    return {.inputs = joined(options.trials.data, {options.model, options.scores, options.statistics.value_or(""),
                                                   options.gram.value_or(""), options.damages.value_or("")}),
            .outputs = {output}};
}

CommandFiles files_of(const VerifyOptions& options, const fs::path& output) {
    return {.inputs = joined(options.data, {options.model, options.base.value_or(""), options.thresholds.value_or(""),
                                            options.tasks.value_or("")}),
            .outputs = {output}};
}

CommandFiles files_of(const CompressOptions& options, const fs::path& recipe, const fs::path& scores) {
    return {.inputs = {options.model, recipe, scores, options.statistics.value_or(""), options.gram.value_or(""),
                       options.adapter.value_or("")},
            .outputs = {options.output}};
}

}  // namespace plasticity
