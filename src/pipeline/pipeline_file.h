#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "io/yaml_reader.h"
#include "ipc/method.h"

namespace plasticity {

/// When a step runs, by what has become of those before it.
enum class StepCondition {
    kSuccess,  ///< none has failed, but for those with onFailure: continue
    kFailure,  ///< one has
    kAlways,
};

struct PipelineStep {
    std::string name;
    const Method* method = nullptr;  ///< of type Command; nullptr: Shell
    std::string shell;               ///< command line for /bin/sh
    YamlNode params;                 ///< a map
    std::optional<YamlNode> for_each;
    StepCondition condition = StepCondition::kSuccess;
    bool stops_on_failure = true;
    int line = 1, column = 1;
};

/// A YAML file of steps:
///
///     name: text                    # default: the file's name
///     inputs:                       # NAME: default, or nothing where it must be given
///       model:
///     steps:
///       - name: compress            # letters, digits, - and _
///         type: Command             # or Shell
///         command: plasticity/compress
///         params: {modelPath: "{{input.model}}"}
///         forEach: [a, b]           # runs once for each {{item}}; its data are a list
///         if: success               # or failure, always
///         onFailure: stop           # or continue
struct Pipeline {
    std::string where;  ///< the file, for messages
    std::string name;
    std::map<std::string, std::optional<nlohmann::json>> inputs;  ///< name → default
    std::vector<PipelineStep> steps;
};

/// Checks the form, and that templates refer to inputs that are declared and to steps before their own.
/// @throws Error (kMalformed) with file, line and column
Pipeline parse_pipeline(std::string_view text, const std::string& where);
/// @throws Error (kMissing, kMalformed, kIo)
Pipeline load_pipeline(const std::filesystem::path& file);

/// What {{input.…}} refers to. @param given  of the caller; text is taken as a plain scalar of YAML
/// @throws Error (kUsage) naming inputs that are missing or unknown
nlohmann::json pipeline_inputs(const Pipeline& pipeline, const nlohmann::json& given);

}  // namespace plasticity
