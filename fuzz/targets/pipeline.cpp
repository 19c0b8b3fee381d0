#include "fuzz_target.h"
#include "pipeline/pipeline_file.h"
#include "pipeline/template.h"

namespace plasticity::fuzz {

/// A pipeline's file, and its templates against values that are there or not.
void run_pipeline_file(std::span<const std::byte> input) {
    const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
    accepts({ErrorKind::kMalformed, ErrorKind::kUsage}, [&] {
        const Pipeline pipeline = parse_pipeline(text, "pipeline");
        require(!pipeline.steps.empty(), "there are steps");
        nlohmann::json inputs = nlohmann::json::object();
        for (const auto& [name, value] : pipeline.inputs) inputs[name] = value.value_or("text");
        const nlohmann::json item = {{"a", {1, 2}}}, steps = {{"a", {{"data", {item, item}}, {"status", "done"}}}};
        for (const PipelineStep& step : pipeline.steps)
            for (const bool is_dry_run : {true, false})
                resolve_templates(
                    step.params, {.input = inputs, .steps = steps, .item = &item, .index = 1, .is_dry_run = is_dry_run},
                    pipeline.where);
    });
}

}  // namespace plasticity::fuzz
