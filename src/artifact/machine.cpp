#include "artifact/machine.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "core/units.h"

namespace plasticity {

std::string Machine::text() const {
    return fmt::format("{}, {} processors, {}, {}, {} ({}), plasticity {}, ggml {} ({})",
                       processor.empty() ? "unknown processor" : processor, processors, format_bytes(memory_bytes),
                       system, backend, fmt::join(instruction_sets, " "), program_version, ggml_version, ggml_commit);
}

nlohmann::ordered_json machine_json(const Machine& machine) {
    nlohmann::ordered_json json;
    json["system"] = machine.system;
    json["processor"] = machine.processor;
    json["processors"] = machine.processors;
    json["memoryBytes"] = machine.memory_bytes;
    json["instructionSets"] = machine.instruction_sets;
    json["backend"] = machine.backend;
    json["versions"]["plasticity"] = machine.program_version;
    json["versions"]["ggml"] = machine.ggml_version;
    json["versions"]["ggmlCommit"] = machine.ggml_commit;
    return json;
}

}  // namespace plasticity
