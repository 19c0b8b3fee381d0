#include "pipeline/pipeline_state.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "artifact/json_text.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "io/atomic_file.h"
#include "io/partial_file.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::uint64_t kMaxStateBytes = std::uint64_t{256} << 20;
constexpr int kMaxStateDepth = 32;
constexpr std::chrono::milliseconds kRetry{100};
constexpr int kRetries = 350;  // a little longer than a command that was told to end may take

std::filesystem::path lock_of(const std::filesystem::path& file) {
    return folder_of(file) / fmt::format(".{}.lock", file.filename().string());
}

StepRecord record_from(const json& object, const std::string& where) {
    ObjectReader reader(object, where);
    StepRecord record;
    record.fingerprint = reader.text("fingerprint");
    const json& outputs = reader.value("outputs");
    if (!outputs.is_array()) reader.fail("outputs", "is no list");
    for (const json& output : outputs) {
        if (!output.is_string()) reader.fail("outputs", "holds what is no path");
        record.outputs.push_back(output.get<std::string>());
    }
    record.is_finished = reader.boolean("finished");
    record.progress = MethodState::from_json(reader.value("progress"), where + ": progress");
    record.data = reader.value("data");
    reader.finish();
    return record;
}

ordered_json record_json(const StepRecord& record) {
    return {{"fingerprint", record.fingerprint},
            {"outputs", record.outputs},
            {"finished", record.is_finished},
            {"progress", record.progress.to_json()},
            {"data", record.data}};
}

}  // namespace

PipelineState::PipelineState(std::filesystem::path file)
    : file_(std::move(file)), lock_(lock_of(file_), ProcessLock::Inherit::kYes) {
    for (int i = 0; !lock_.try_lock(); ++i) {
        throw_if_interrupted();
        if (i == kRetries)
            throw Error(ErrorKind::kUsage, fmt::format("{}: another run of this pipeline is at work; expected one at a "
                                                       "time, or another --state",
                                                       file_.string()));
        std::this_thread::sleep_for(kRetry);
    }
    if (std::filesystem::exists(file_)) load();
}

void PipelineState::load() {
    const json document = parse_strict_json(read_text_file(file_, kMaxStateBytes), file_.string(), kMaxStateDepth);
    ObjectReader reader(document, file_.string());
    reader.require_schema("schemaVersion", kSchemaVersion);
    const json& steps = reader.value("steps");
    reader.finish();
    if (!steps.is_object()) reader.fail("steps", "is no object");
    for (const auto& [key, record] : steps.items())
        records_[key] = record_from(record, fmt::format("{}: {}", file_.string(), key));
}

void PipelineState::save() const {
    ordered_json document{{"schemaVersion", kSchemaVersion}, {"steps", ordered_json::object()}};
    for (const auto& [key, record] : records_) document["steps"][key] = record_json(record);
    write_text_file(file_, json_text(document), Overwrite::kReplace);
}

}  // namespace plasticity
