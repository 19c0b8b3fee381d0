#include "artifact/reproduction.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "artifact/json_text.h"
#include "core/hash.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxReproductionBytes = std::uint64_t{64} << 20;

Json digests_json(const std::vector<FileDigest>& digests) {
    Json json = Json::array();
    for (const FileDigest& digest : digests)
        json.push_back({{"name", digest.name}, {"bytes", digest.bytes}, {"sha256", digest.sha256}});
    return json;
}

FileDigest read_digest(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    FileDigest digest;
    digest.name = reader.text("name");
    digest.bytes = static_cast<std::uint64_t>(reader.integer("bytes", 0, std::numeric_limits<std::int64_t>::max()));
    digest.sha256 = reader.text("sha256");
    if (digest.sha256.size() != kSha256Digits ||
        digest.sha256.find_first_not_of("0123456789abcdef") != std::string::npos)
        reader.fail("sha256", "is no SHA-256; expected 64 lower-case hexadecimal digits");
    reader.finish();
    return digest;
}

const nlohmann::json& array_of(ObjectReader& reader, std::string_view key) {
    const nlohmann::json& held = reader.value(key);
    if (!held.is_array()) reader.fail(key, fmt::format("holds a {}; expected an array", held.type_name()));
    return held;
}

std::vector<FileDigest> read_digests(ObjectReader& reader, std::string_view key) {
    std::vector<FileDigest> digests;
    for (const auto& item : array_of(reader, key))
        digests.push_back(read_digest(item, fmt::format("{}: {} {}", reader.where(), key, digests.size())));
    return digests;
}

std::vector<std::string> read_texts(ObjectReader& reader, std::string_view key) {
    std::vector<std::string> texts;
    for (const auto& item : array_of(reader, key)) {
        if (!item.is_string()) reader.fail(key, fmt::format("holds a {}; expected texts", item.type_name()));
        texts.push_back(item.get<std::string>());
    }
    return texts;
}

std::vector<Reproduction::Option> read_options(const nlohmann::json& json, const std::string& where) {
    ObjectReader reader(json, where);
    std::vector<Reproduction::Option> options;
    for (const auto& item : json.items()) options.emplace_back(item.key(), read_texts(reader, item.key()));
    return options;
}

}  // namespace

FileDigest digest_of(const std::filesystem::path& path) {
    std::string sha256 = sha256_of_file(path);  // says what is wrong with a file that is not there
    return {path.filename().string(), std::filesystem::file_size(path), std::move(sha256)};
}

std::string reproduction_to_json(const Reproduction& reproduction) {
    Json json;
    json["schemaVersion"] = Reproduction::kSchemaVersion;
    json["programVersion"] = reproduction.program_version;
    json["llamaCpp"] = reproduction.llama_cpp;
    json["processor"] = reproduction.processor;
    json["command"] = reproduction.command;
    json["model"] = reproduction.model;
    json["modelRepository"] = reproduction.model_repository;
    json["modelFiles"] = digests_json(reproduction.model_files);
    json["tokenizerSha256"] = reproduction.tokenizer_sha256;
    json["data"] = reproduction.data;
    json["evalData"] = reproduction.eval_data;
    json["calibration"] = digests_json(reproduction.calibration);
    json["heldOut"] = digests_json(reproduction.held_out);
    json["options"] = Json::object();
    for (const auto& [name, values] : reproduction.options) json["options"][name] = values;
    json["artifacts"] = digests_json(reproduction.artifacts);
    json["output"] = digests_json({reproduction.output}).front();
    return json_text(json);
}

Reproduction reproduction_from_json(std::string_view text, const std::string& where) {
    const nlohmann::json json = parse_strict_json(text, where);
    ObjectReader reader(json, where);
    reader.require_schema("schemaVersion", Reproduction::kSchemaVersion);
    Reproduction reproduction;
    reproduction.program_version = reader.text("programVersion");
    reproduction.llama_cpp = reader.text("llamaCpp");
    reproduction.processor = reader.text("processor");
    reproduction.command = reader.text("command");
    reproduction.model = reader.text("model");
    reproduction.model_repository = reader.text("modelRepository");
    reproduction.model_files = read_digests(reader, "modelFiles");
    reproduction.tokenizer_sha256 = reader.text("tokenizerSha256");
    reproduction.data = read_texts(reader, "data");
    reproduction.eval_data = read_texts(reader, "evalData");
    reproduction.calibration = read_digests(reader, "calibration");
    reproduction.held_out = read_digests(reader, "heldOut");
    reproduction.options = read_options(reader.value("options"), where + ": options");
    reproduction.artifacts = read_digests(reader, "artifacts");
    reproduction.output = read_digest(reader.value("output"), where + ": output");
    reader.finish();
    return reproduction;
}

void save_reproduction(const Reproduction& reproduction, const std::filesystem::path& target, Overwrite overwrite) {
    write_text_file(target, reproduction_to_json(reproduction), overwrite);
}

Reproduction load_reproduction(const std::filesystem::path& path) {
    return reproduction_from_json(read_text_file(path, kMaxReproductionBytes), path.string());
}

}  // namespace plasticity
