#include "report/hub_card.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "artifact/json_text.h"
#include "core/units.h"
#include "io/hub_name.h"
#include "report/markup.h"
#include "report/report_text.h"

namespace plasticity {
namespace {

/// A JSON string is a double-quoted scalar of YAML, whatever stands in it.
std::string yaml_text(std::string_view text) {
    return json_line(nlohmann::ordered_json(single_line(text)));
}

std::string yaml_list(const std::vector<std::string>& texts) {
    std::string yaml;
    for (const std::string& text : texts) yaml += fmt::format("- {}\n", yaml_text(text));
    return yaml;
}

/// A text of the metadata; nothing where it is absent, empty or no text.
std::optional<std::string> text_of(const GgufMetadata& metadata, std::string_view key) {
    const GgufValue* value = metadata.find(key);
    const auto* text = value != nullptr ? std::get_if<std::string>(value) : nullptr;
    return text != nullptr && !text->empty() ? std::optional(*text) : std::nullopt;
}

std::vector<std::string> texts_of(const GgufMetadata& metadata, std::string_view key) {
    const GgufValue* value = metadata.find(key);
    const auto* array = value != nullptr ? std::get_if<GgufArray>(value) : nullptr;
    const auto* texts = array != nullptr ? std::get_if<std::vector<std::string>>(array) : nullptr;
    return texts != nullptr ? *texts : std::vector<std::string>();
}

/// OWNER/NAME of the hub where the model was named so, or where the source's metadata give its address there.
std::optional<std::string> base_repository(const RunRecord& record) {
    if (record.reproduction && !record.reproduction->model_repository.empty())
        return record.reproduction->model_repository;
    constexpr std::string_view kHub = "https://huggingface.co/";
    for (const char* key : {"general.repo_url", "general.source.repo_url", "general.source.url", "general.url"})
        if (const std::optional<std::string> url = text_of(record.metadata, key); url && url->starts_with(kHub))
            if (const std::optional<HubName> name = parse_hub_name(url->substr(kHub.size()))) return name->repository();
    return std::nullopt;
}

std::string license_lines(const GgufMetadata& metadata) {
    const std::optional<std::string> license = text_of(metadata, "general.license");
    if (!license) return "# license: the source's metadata name none; add the base model's\n";
    std::string yaml = fmt::format("license: {}\n", yaml_text(*license));
    if (const auto name = text_of(metadata, "general.license.name"))
        yaml += fmt::format("license_name: {}\n", yaml_text(*name));
    if (const auto link = text_of(metadata, "general.license.link"))
        yaml += fmt::format("license_link: {}\n", yaml_text(*link));
    return yaml;
}

std::string metric(std::string_view type, std::string_view name, double value) {
    return fmt::format("    - type: {}\n      name: {}\n      value: {:.6g}\n", type, name, value);
}

std::string title_of(const RunRecord& record) {
    return fmt::format("{}, {}", record.model_name(), format_bytes(record.file_bytes));
}

/// What was measured, and nothing else.
std::string model_index(const RunRecord& record) {
    const QualityPanel* quality = record.quality();
    if (quality == nullptr) return "";
    return fmt::format(
               "model-index:\n- name: {}\n  results:\n  - task:\n      type: text-generation\n    dataset:\n"
               "      type: text\n      name: {}\n    metrics:\n",
               yaml_text(title_of(record)),
               yaml_text(fmt::format("held-out text of the task, {} positions", quality->positions))) +
           metric("perplexity", "Perplexity", quality->perplexity) +
           metric("perplexity", "Perplexity of the base", quality->base_perplexity) +
           metric("kl_divergence", "Mean KL divergence from the base, nats per token", quality->mean_kl) +
           metric("accuracy", "Same most likely token as the base", quality->top1_agreement);
}

std::string front_matter(const RunRecord& record) {
    const std::optional<std::string> base = base_repository(record);
    std::string yaml = "---\n";
    yaml += base ? fmt::format("base_model: {}\n", yaml_text(*base))
                 : "# base_model: the source does not name its repository; add OWNER/NAME\n";
    yaml += "base_model_relation: quantized\n";
    yaml += license_lines(record.metadata);
    if (const auto languages = texts_of(record.metadata, "general.languages"); !languages.empty())
        yaml += "language:\n" + yaml_list(languages);
    yaml += "pipeline_tag: text-generation\n";
    std::vector<std::string> tags{"gguf", "quantized", "plasticity"};
    if (record.recipe.prunes()) tags.insert(tags.begin() + 2, "pruned");
    if (record.recipe.stock) tags.insert(tags.end(), {"llama.cpp", "ollama"});
    yaml += "tags:\n" + yaml_list(tags);
    return yaml + model_index(record) + "---\n";
}

std::string row(std::string_view name, std::string_view value) {
    return fmt::format("| {} | {} |\n", name, markdown_escaped(value));
}

std::string figures_table(const RunRecord& record) {
    const Recipe& recipe = record.recipe;
    std::string table = "| | |\n|---|---|\n";
    table += row("File", fmt::format("{} ({} bytes)", format_bytes(record.file_bytes), record.file_bytes));
    table += row("Memory at run time", fmt::format("{} with {} tokens of context",
                                                   format_bytes(recipe.budget.total_bytes), recipe.context_length));
    if (recipe.device) table += row("Made for", recipe.device->label);
    table += row("Removed", fmt::format("{:.1f} % of the parameters", 100 * recipe.topology.parameter_reduction));
    if (const QualityPanel* quality = record.quality()) table += row("Against the base", quality_text(*quality));
    if (record.report && record.report->predicted_kl)
        table += row("Predicted", fmt::format("mean KL {:.4g}", record.report->predicted_kl->value));
    if (record.report)
        table += row("Verified", record.report->passed() ? "yes, every check passed" : "NO: a check failed");
    if (record.samples)
        table += row("Speed where it was made",
                     fmt::format("{:.1f} tokens/s generated on {}", record.samples->generated_tokens_per_second,
                                 record.samples->backend));
    return table;
}

std::string how_to_run(const Recipe& recipe) {
    if (!recipe.stock)
        return fmt::format(
            "Stock llama.cpp does not run this file ({}); plasticity does:\n\n    plasticity chat model.gguf\n",
            markdown_escaped(recipe.stock_reason));
    return "Unmodified llama.cpp and what builds on it run it:\n\n    llama-cli -m model.gguf\n    ollama create NAME "
           "-f Modelfile\n"
           "    plasticity chat model.gguf\n";
}

std::string how_to_make(const RunRecord& record) {
    if (!record.reproduction) return "";
    std::string lines = "\n## Make it again\n\nMade by\n\n";
    lines += fmt::format("    {}\n\n", single_line(record.reproduction->command));
    lines +=
        "`reproduce.json` holds the SHA-256 of every input and of the output, the options and the versions. This "
        "checks the "
        "inputs, runs\nwith the same options, and says whether the bytes are the same:\n\n"
        "    plasticity run --reproduce reproduce.json -o again\n\n";
    return lines + fmt::format("SHA-256 of model.gguf: `{}`\n", record.reproduction->output.sha256);
}

}  // namespace

std::string hub_card(const RunRecord& record) {
    const std::string name = markdown_escaped(record.model_name());
    return front_matter(record) +
           fmt::format(
               "\n# {}, compressed\n\n{} compressed by plasticity {} for one task: {} by what the task's own text says "
               "of every\nhead and matrix. `report.html` shows every choice with its reason.\n\n",
               name, name, markdown_escaped(record.recipe.pipeline_version),
               record.recipe.prunes() ? "pruned and quantised" : "quantised") +
           figures_table(record) +
           "\nQuality is that of held-out text of the task; elsewhere it may be worse, and what the base does badly or "
           "must not be used for\nholds here too.\n\n## Run\n\n" +
           how_to_run(record.recipe) + how_to_make(record);
}

}  // namespace plasticity
