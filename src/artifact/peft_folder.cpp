#include "artifact/peft_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "artifact/gguf_adapter.h"
#include "artifact/json_text.h"
#include "artifact/lora_rows.h"
#include "core/error.h"
#include "io/printable.h"
#include "io/problem_list.h"
#include "io/safetensors_reader.h"
#include "io/safetensors_writer.h"
#include "io/strict_json.h"
#include "model/hf_dtype.h"
#include "model/staged_folder.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kGguf = "adapter.gguf";
constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kA = ".lora_A.weight", kB = ".lora_B.weight";
constexpr std::uint64_t kMaxConfigBytes = 1 << 20;

bool is_name_of_adapter(std::string_view name) {
    return name == kPeftConfig || name == kPeftWeights || name == kGguf || name == "README.md";
}

/// "base_model.model.model.layers.0.self_attn.q_proj"
std::string peft_name(const TensorId& id) {
    std::string name = hf_name(id);
    name.resize(name.rfind('.'));
    return std::string(kPrefix) + name;
}

std::string config_text(const LoraAdapter& adapter, const Architecture& architecture) {
    nlohmann::ordered_json json;
    json["peft_type"] = "LORA";
    json["task_type"] = "CAUSAL_LM";
    json["base_model_name_or_path"] = architecture.model_name;
    json["r"] = adapter.rank;
    if (adapter.alpha == std::floor(adapter.alpha))
        json["lora_alpha"] = static_cast<std::int64_t>(adapter.alpha);
    else
        json["lora_alpha"] = adapter.alpha;
    json["lora_dropout"] = 0.0;
    json["bias"] = "none";
    json["fan_in_fan_out"] = false;
    json["use_rslora"] = false;
    json["use_dora"] = false;
    json["inference_mode"] = true;
    json["init_lora_weights"] = true;
    json["modules_to_save"] = nullptr;
    auto& modules = json["target_modules"] = nlohmann::ordered_json::array();
    for (const TensorRole role : adapter.targets()) modules.push_back(lora_module_name(role));
    return json_text(json);
}

void save_weights(const LoraAdapter& adapter, const fs::path& target) {
    std::vector<SafetensorsSpec> specs;
    for (const LoraMatrix& matrix : adapter.matrices) {
        specs.push_back({peft_name(matrix.id) + std::string(kA), "F32", {adapter.rank, matrix.cols}});
        specs.push_back({peft_name(matrix.id) + std::string(kB), "F32", {matrix.rows, adapter.rank}});
    }
    SafetensorsWriter file(target, std::move(specs), Overwrite::kRefuse);
    for (const LoraMatrix& matrix : adapter.matrices) {
        file.write(std::as_bytes(std::span(matrix.a)));
        file.write(std::as_bytes(std::span(matrix.b)));
    }
    file.finish();
}

/// Options of peft that change what an adapter computes, and are not computed here.
void refuse_variants(const nlohmann::json& config, ProblemList& problems) {
    if (!config.contains("peft_type") || config["peft_type"] != "LORA") problems.add("peft_type is not \"LORA\"");
    for (const char* key : {"use_dora", "use_rslora", "fan_in_fan_out", "lora_bias"})
        if (config.contains(key) && config[key] != false) problems.add(fmt::format("{} is set; expected false", key));
    if (config.contains("bias") && config["bias"] != "none") problems.add("bias is trained; expected \"none\"");
    for (const char* key : {"rank_pattern", "alpha_pattern", "modules_to_save", "trainable_token_indices"})
        if (config.contains(key) && !config[key].empty())
            problems.add(fmt::format("{} is not empty; expected one rank and alpha for plain matrices", key));
}

/// Rank and alpha; matrices are still to be read.
LoraAdapter read_config(const fs::path& path) {
    const auto config = parse_strict_json(read_text_file(path, kMaxConfigBytes), path.string());
    ProblemList problems(path.string());
    if (!config.is_object()) problems.add("no JSON object");
    problems.throw_if_any();
    const auto number = [&](const char* key) {
        return config.contains(key) && config[key].is_number() ? config[key].get<double>() : 0.0;
    };
    const double rank = number("r"), alpha = number("lora_alpha");
    refuse_variants(config, problems);
    if (!(rank >= 1 && rank <= kMaxLoraRank && rank == std::floor(rank)))
        problems.add(fmt::format("r is {}; expected a whole number from 1 to {}", rank, kMaxLoraRank));
    if (!(alpha > 0) || !std::isfinite(alpha)) problems.add(fmt::format("lora_alpha is {}; expected > 0", alpha));
    problems.throw_if_any();
    return {.rank = static_cast<std::int32_t>(rank), .alpha = alpha, .matrices = {}};
}

void read_values(const SafetensorsReader& file, const SafetensorsEntry& entry, std::vector<float>& values,
                 ProblemList& problems) {
    std::vector<std::byte> stored(entry.bytes);
    file.read(entry, 0, stored);
    convert_to_f32(entry.dtype, stored, values);
    const auto bad = std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
    if (bad != values.end())
        problems.add(fmt::format("{} at index {} is {}; expected finite values", printable(entry.name),
                                 bad - values.begin(), *bad));
}

class WeightReader {
public:
    WeightReader(const fs::path& path, const Architecture& architecture, LoraAdapter& adapter)
        : file_(path), problems_(path.string()), architecture_(architecture), adapter_(adapter) {}

    void read() {
        for (int layer = 0; layer < architecture_.n_layer(); ++layer)
            for (const TensorRole role : lora_roles()) read_matrix({role, layer});
        for (const SafetensorsEntry& entry : file_.entries())
            if (!known_.contains(entry.name))
                problems_.add(fmt::format("{}: not a low-rank half of a matrix of this model", printable(entry.name)));
        if (adapter_.matrices.empty()) problems_.add("no adapted matrices");
        problems_.throw_if_any();
        file_.file().require_unchanged();
    }

private:
    void read_matrix(const TensorId& id) {
        const SafetensorsEntry *a = find(id, kA), *b = find(id, kB);
        if (a == nullptr && b == nullptr) return;
        if (a == nullptr || b == nullptr) {
            problems_.add(fmt::format("{}: only one of lora_A and lora_B is there", peft_name(id)));
            return;
        }
        const auto [rows, cols] = lora_shape(architecture_, id);
        LoraMatrix matrix{.id = id, .rows = rows, .cols = cols, .a = {}, .b = {}};
        if (!has_shape(*a, adapter_.rank, cols) || !has_shape(*b, rows, adapter_.rank)) return;
        matrix.a.resize(static_cast<std::size_t>(adapter_.rank * cols));
        matrix.b.resize(static_cast<std::size_t>(rows * adapter_.rank));
        read_values(file_, *a, matrix.a, problems_);
        read_values(file_, *b, matrix.b, problems_);
        adapter_.matrices.push_back(std::move(matrix));
    }

    const SafetensorsEntry* find(const TensorId& id, std::string_view suffix) {
        const SafetensorsEntry* entry = file_.find(peft_name(id) + std::string(suffix));
        if (entry != nullptr) known_.insert(entry->name);
        return entry;
    }

    bool has_shape(const SafetensorsEntry& entry, std::int64_t rows, std::int64_t cols) {
        const auto type = type_of_dtype(entry.dtype);
        if (type && rows > 0 && entry.shape == std::vector<std::int64_t>{rows, cols}) return true;
        problems_.add(fmt::format("{}: {} [{}]; expected F32, F16 or BF16 [{}, {}]. Is it of another model?",
                                  printable(entry.name), entry.dtype, fmt::join(entry.shape, ", "), rows, cols));
        return false;
    }

    SafetensorsReader file_;
    ProblemList problems_;
    const Architecture& architecture_;
    LoraAdapter& adapter_;
    std::set<std::string, std::less<>> known_;
};

}  // namespace

void save_peft_folder(const LoraAdapter& adapter, const Architecture& architecture, const fs::path& folder,
                      Overwrite overwrite) {
    StagedFolder staged(folder, overwrite, is_name_of_adapter);
    write_text_file(staged.path() / kPeftConfig, config_text(adapter, architecture), Overwrite::kRefuse);
    save_weights(in_rope_layout(adapter, architecture, architecture.rope_layout, RopeLayout::kNeox),
                 staged.path() / kPeftWeights);
    save_gguf_adapter(adapter, architecture, staged.path() / kGguf, Overwrite::kRefuse);
    staged.commit();
}

void require_peft_folder(const fs::path& folder, Overwrite overwrite) {
    const StagedFolder tried(folder, overwrite, is_name_of_adapter);
}

LoraAdapter load_peft_folder(const fs::path& folder, const Architecture& architecture) {
    LoraAdapter adapter = read_config(folder / kPeftConfig);
    WeightReader(folder / kPeftWeights, architecture, adapter).read();
    return in_rope_layout(adapter, architecture, RopeLayout::kNeox, architecture.rope_layout);
}

}  // namespace plasticity
