#include "plan/kept_damages.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "artifact/json_text.h"
#include "artifact/type_names.h"
#include "core/error.h"
#include "core/hash.h"
#include "io/atomic_file.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

constexpr int kSchemaVersion = 1;
constexpr std::uint64_t kMaxBytes = std::uint64_t{64} << 20;

void read_matrix(const nlohmann::json& json, const std::string& name, const std::string& where, DamageTable& table) {
    ObjectReader reader(json, fmt::format("{}: damages: {}", where, name));
    for (const auto& [type_name, value] : json.items()) {
        const std::optional<ggml_type> type = parse_weight_type(type_name);
        if (!type) reader.fail(type_name, fmt::format("is no type; expected one of {}", weight_type_names()));
        table.set(name, *type, reader.amount(type_name));
    }
}

}  // namespace

KeptDamages::KeptDamages(fs::path file, const std::string& made_from, Progress& progress) : file_(std::move(file)) {
    Sha256 hash;
    hash.update(made_from);
    made_from_ = hash.finish();
    if (fs::exists(file_)) load(progress);
}

void KeptDamages::load(Progress& progress) {
    const std::string where = file_.string();
    const nlohmann::json json = parse_strict_json(read_text_file(file_, kMaxBytes), where);
    ObjectReader reader(json, where);
    reader.require_schema("schemaVersion", kSchemaVersion);
    const bool is_same = reader.text("madeFrom") == made_from_;
    const nlohmann::json& damages = reader.value("damages");
    if (!damages.is_object()) reader.fail("damages", "is no object");
    reader.finish();
    if (!is_same) return progress.note(fmt::format("{}: of another model or other statistics; measured anew", where));
    for (const auto& [name, types] : damages.items()) read_matrix(types, name, where, known_);
}

std::vector<DamageQuestion> KeptDamages::open(const std::vector<DamageQuestion>& questions) const {
    std::vector<DamageQuestion> unknown;
    for (const DamageQuestion& question : questions) {
        DamageQuestion rest{question.matrix, {}};
        for (const ggml_type type : question.types)
            if (!known_.knows(question.matrix->name, type)) rest.types.push_back(type);
        if (!rest.types.empty()) unknown.push_back(std::move(rest));
    }
    return unknown;
}

void KeptDamages::add(const DamageTable& measured) {
    known_.add(measured);
    nlohmann::ordered_json json;
    json["schemaVersion"] = kSchemaVersion;
    json["madeFrom"] = made_from_;
    json["damages"] = nlohmann::ordered_json::object();
    for (const std::string& matrix : known_.matrices())
        for (const ggml_type type : known_.types_of(matrix))
            json["damages"][matrix][ggml_type_name(type)] = known_.of(matrix, type);
    write_text_file(file_, json_text(json), Overwrite::kReplace);
}

DamageTable KeptDamages::answers(const std::vector<DamageQuestion>& questions) const {
    DamageTable answers;
    for (const DamageQuestion& question : questions)
        for (const ggml_type type : question.types)
            answers.set(question.matrix->name, type, known_.of(question.matrix->name, type));
    return answers;
}

}  // namespace plasticity
