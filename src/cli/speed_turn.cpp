#include "cli/speed_turn.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/child_process.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

void append_numbers(const nlohmann::json& said, const char* key, MeasuredSeries& series) {
    for (const double value : said.at(key).get<std::vector<double>>()) series.runs.push_back(value);
}

}  // namespace

void take_speed_turn(const CompareCommand& command, const std::string& model, MeasuredRunning& running) {
    ChildCommand child{
        .program = own_program(),
        .arguments = {"bench", "speed", model, "-p", std::to_string(command.prompt_tokens), "-n",
                      std::to_string(command.generated_tokens), "-r", "1", "-t", std::to_string(command.common.threads),
                      "--backend", command.backend.device, "--json", "--quiet"}};
    if (command.backend.gpu_layers)
        child.arguments.insert(child.arguments.end(), {"--gpu-layers", std::to_string(*command.backend.gpu_layers)});
    const ChildResult result = run_child(child);
    if (!result.succeeded())
        throw Error(error_kind_of(result.exit_code).value_or(ErrorKind::kIo),
                    fmt::format("bench compare: the run of {} ended with {}: {}", model, result.ending(), result.err));
    const nlohmann::json said = parse_strict_json(result.out, "bench speed " + model);
    append_numbers(said, "prompt_runs", running.prompt);
    append_numbers(said, "generated_runs", running.generation);
    running.load.runs.push_back(said.at("load_seconds").get<double>());
    const auto bytes = [&](const char* key) { return said.at(key).get<std::uint64_t>(); };
    running.peak_resident_bytes = std::max(running.peak_resident_bytes, bytes("peak_resident_bytes"));
    running.weight_bytes = bytes("weight_bytes");
    running.cache_bytes = bytes("kv_cache_bytes");
    running.compute_bytes = bytes("compute_bytes");
}

}  // namespace plasticity
