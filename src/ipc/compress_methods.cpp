#include <fmt/format.h>

#include <filesystem>
#include <string>

#include "core/error.h"
#include "ipc/arguments.h"
#include "ipc/method_list.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;
using Kind = ParameterKind;

constexpr std::array kPlanParameters{
    Parameter{"capturePath", Kind::kInput, "gate_gradients.json", true},
    Parameter{"modelPath", Kind::kModel, "model that was scored", true},
    Parameter{"deviceSpec", Kind::kDevice, "budget: 32gb, macbookair, 24gb-vram, auto, …; or targetSize, or targetBpw"},
    Parameter{"targetSize", Kind::kSize, "budget: of the whole file"},
    Parameter{"targetBpw", Kind::kNumber, "budget: bits of the file per weight"},
    Parameter{"statsPath", Kind::kInput, "statistics of the same run; else stats.gguf beside capturePath, if there"},
    Parameter{"contextLength", Kind::kInteger, "tokens the KV cache is budgeted for"},
    Parameter{"kvType", Kind::kText, "f16, q8_0 or q4_0"},
    Parameter{"policy", Kind::kText, "optimal, tiers or auto"},
    Parameter{"prune", Kind::kText, "auto, off, kv-groups=N, heads=SHARE or ffn=SHARE"},
    Parameter{"align", Kind::kText, "none, pad, columns or auto"},
    Parameter{"equalize", Kind::kSwitch, "scale channels by what they carry first; adapters of the base fit no more"},
    Parameter{"floor", Kind::kText, "no matrix gets fewer bits than this type has"},
    Parameter{"allowOwn", Kind::kSwitch, "also what this program alone runs"},
    kForceParameter,
};

constexpr std::array kCompactOwn{
    Parameter{"outputPath", Kind::kOutput, "recipe.json to write"},
};
constexpr auto kCompactParameters = joined(joined(kPlanParameters, kCompactOwn), kComputeParameters);

constexpr std::array kCompressOwn{
    Parameter{"outputPath", Kind::kOutput, "GGUF to write", true},
    Parameter{"recipePath", Kind::kOutput, "recipe to write; else outputPath with .recipe.json behind it"},
    Parameter{"gramPath", Kind::kInput, "Gram matrices of score"},
    Parameter{"adapterPath", Kind::kInput, "PEFT folder that is merged into the weights first"},
};
constexpr auto kCompressParameters = joined(joined(kPlanParameters, kCompressOwn), kComputeParameters);

constexpr std::array kVerifyOwn{
    Parameter{"modelPath", Kind::kModel, "GGUF to verify", true},
    Parameter{"baseModelPath", Kind::kModel, "the model it was made from, with dataPaths: adds KL divergence"},
    Parameter{"dataPaths", Kind::kInputs, "held-out text"},
    Parameter{"baseAdapterPath", Kind::kInput, "PEFT folder that was merged into the base"},
    Parameter{"deviceSpec", Kind::kDevice, "budget to hold it against; else the recipe's"},
    Parameter{"contextLength", Kind::kInteger, "tokens a chunk of text holds"},
    Parameter{"chunks", Kind::kInteger, "of text to measure; 0: all"},
    Parameter{"reportPath", Kind::kOutput, "report.json to write"},
    kForceParameter,
};
constexpr auto kVerifyParameters = joined(kVerifyOwn, kComputeParameters);

/// With the statistics that scoring left beside its scores.
json with_statistics(json p) {
    if (p.contains("statsPath")) return p;
    const fs::path beside = fs::path(p.at("capturePath").get<std::string>()).replace_filename("stats.gguf");
    std::error_code ignored;
    if (fs::is_regular_file(beside, ignored)) p["statsPath"] = beside.string();
    return p;
}

void require_one_budget(const json& p) {
    const auto n_given = p.count("deviceSpec") + p.count("targetSize") + p.count("targetBpw");
    if (n_given != 1)
        throw Error(
            ErrorKind::kUsage,
            fmt::format("{} budgets given; expected exactly one of deviceSpec, targetSize and targetBpw", n_given));
}

/// @param recipe  parameter that names the file, if one is to be written
MethodStep plan_step(const json& p, std::string_view recipe) {
    require_one_budget(p);
    return {.arguments = Arguments("plan", p)
                             .positional("modelPath")
                             .options({{"--scores", "capturePath"},
                                       {"--stats", "statsPath"},
                                       {"--device", "deviceSpec"},
                                       {"--target-size", "targetSize"},
                                       {"--target-bpw", "targetBpw"},
                                       {"--context", "contextLength"},
                                       {"--kv-type", "kvType"},
                                       {"--policy", "policy"},
                                       {"--prune", "prune"},
                                       {"--align", "align"},
                                       {"--equalize", "equalize"},
                                       {"--floor", "floor"},
                                       {"--allow-own", "allowOwn"},
                                       {"--output", recipe},
                                       {"--threads", "threads"},
                                       {"--seed", "seed"}})
                             .take(),
            .outputs = outputs_of(p, {recipe}),
            .may_replace = is_on(p, "force")};
}

std::vector<MethodStep> compact_steps(const json& p) {
    return {plan_step(with_statistics(p), "outputPath")};
}

json compact_promise(const json& p) {
    return picked(p, {{"recipePath", "outputPath"}});
}

ordered_json compact_result(const json& p, const std::vector<ordered_json>& documents) {
    ordered_json result = compact_promise(p);
    const ordered_json& recipe = documents.at(0);
    result["fileBytes"] = recipe.at("budget").at("fileBytes");
    result["totalBytes"] = recipe.at("budget").at("totalBytes");
    if (recipe.contains("predictedKl")) result["predictedKl"] = recipe["predictedKl"];
    result["recipe"] = recipe;
    return result;
}

json with_recipe_path(json p) {
    if (!p.contains("recipePath")) p["recipePath"] = p.at("outputPath").get<std::string>() + ".recipe.json";
    return p;
}

std::vector<MethodStep> compress_steps(const json& given) {
    const json p = with_recipe_path(with_statistics(given));
    MethodStep compress{.arguments = Arguments("compress", p)
                                         .positional("modelPath")
                                         .options({{"--recipe", "recipePath"},
                                                   {"--output", "outputPath"},
                                                   {"--stats", "statsPath"},
                                                   {"--gram", "gramPath"},
                                                   {"--adapter", "adapterPath"},
                                                   {"--threads", "threads"}})
                                         .take(),
                        .outputs = outputs_of(p, {"outputPath"}),
                        .may_replace = is_on(p, "force")};
    MethodStep verify{
        .arguments = Arguments("verify", p).positional("outputPath").option("--threads", "threads").take(),
        .outputs = {}};
    return {plan_step(p, "recipePath"), std::move(compress), std::move(verify)};
}

json compress_promise(const json& p) {
    return picked(with_recipe_path(p), {{"ggufPath", "outputPath"}, {"recipePath", "recipePath"}});
}

ordered_json compress_result(const json& p, const std::vector<ordered_json>& documents) {
    ordered_json result = compress_promise(p);
    result["outputSizeBytes"] = documents.at(1).at("file_bytes");
    result["compressionRatio"] = documents[1].at("compression_ratio");
    result["sha256"] = documents[1].at("sha256");
    result["verified"] = documents.at(2).at("passed");
    result["testOutput"] = documents[2].at("testOutput");
    result["checks"] = documents[2].at("checks");
    result["recipe"] = documents.at(0);
    return result;
}

std::vector<MethodStep> verify_steps(const json& p) {
    if (p.contains("baseModelPath") != p.contains("dataPaths"))
        throw Error(ErrorKind::kUsage, "expected baseModelPath and dataPaths together, or neither");
    return {{.arguments = Arguments("verify", p)
                              .positional("modelPath")
                              .options({{"--base", "baseModelPath"},
                                        {"--data", "dataPaths"},
                                        {"--base-adapter", "baseAdapterPath"},
                                        {"--device", "deviceSpec"},
                                        {"--context", "contextLength"},
                                        {"--chunks", "chunks"},
                                        {"--output", "reportPath"},
                                        {"--threads", "threads"},
                                        {"--seed", "seed"}})
                              .take(),
             .outputs = outputs_of(p, {"reportPath"}),
             .may_replace = is_on(p, "force")}};
}

json verify_promise(const json& p) {
    return picked(p, {{"modelPath", "modelPath"}, {"reportPath", "reportPath"}});
}

ordered_json verify_result(const json& p, const std::vector<ordered_json>& documents) {
    ordered_json result = documents.at(0);
    if (p.contains("reportPath")) result["reportPath"] = p["reportPath"];
    return result;
}

}  // namespace

const Method& compact_method() {
    static const Method method{
        "plasticity/compact", "What to prune, and a type for every tensor, for one device: a recipe",
        kCompactParameters,   compact_steps,
        compact_result,       compact_promise};
    return method;
}

const Method& compress_method() {
    static const Method method{"plasticity/compress", "Plans for one device, writes the GGUF and verifies it",
                               kCompressParameters,   compress_steps,
                               compress_result,       compress_promise};
    return method;
}

const Method& verify_method() {
    static const Method method{"plasticity/verify", "Does the file hold what its recipe says, and how good is it?",
                               kVerifyParameters,   verify_steps,
                               verify_result,       verify_promise};
    return method;
}

}  // namespace plasticity
