#include "model/hf_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/safetensors_writer.h"
#include "model/family.h"
#include "model/rope_factors.h"
#include "model/staged_folder.h"
#include "model/tensor_stream.h"
#include "model/tokenizer_metadata.h"

namespace plasticity {
namespace {

struct Dtype {
    std::string_view option;
    std::string_view safetensors;
    std::string_view torch;
    ggml_type type;
};

constexpr std::array kDtypes{
    Dtype{"bf16", "BF16", "bfloat16", GGML_TYPE_BF16},
    Dtype{"f16", "F16", "float16", GGML_TYPE_F16},
    Dtype{"f32", "F32", "float32", GGML_TYPE_F32},
};

const Dtype& dtype_of(std::string_view option) {
    for (const Dtype& dtype : kDtypes)
        if (dtype.option == option) return dtype;
    throw Error(ErrorKind::kUsage, fmt::format("export: got dtype {}; expected bf16, f16 or f32", option));
}

using Shard = std::vector<const ModelTensor*>;

/// How weights are stored in the folder.
struct FolderForm {
    const Dtype& dtype;
    const Family& family;
};

SafetensorsSpec spec_of(const ModelTensor& tensor, const FolderForm& form) {
    SafetensorsSpec spec{.name = hf_name(tensor.id, form.family.hf_spellings),
                         .dtype = std::string(form.dtype.safetensors),
                         .shape = {}};
    if (!tensor.is_vector) spec.shape.push_back(tensor.rows);
    spec.shape.push_back(tensor.cols);
    return spec;
}

/// In the model's order, each shard as full as it gets. RoPE frequencies stand in config.json instead.
std::vector<Shard> split_into_shards(const Model& model, const HfExportOptions& options, const FolderForm& form) {
    std::vector<Shard> shards(1);
    std::uint64_t filled = 0;
    for (const ModelTensor& tensor : model.tensors()) {
        if (tensor.id.role == TensorRole::kRopeFrequencies) continue;
        const std::uint64_t bytes = spec_of(tensor, form).bytes();
        if (filled > 0 && filled + bytes > options.shard_bytes) {
            shards.emplace_back();
            filled = 0;
        }
        shards.back().push_back(&tensor);
        filled += bytes;
    }
    return shards;
}

std::string shard_name(std::size_t index, std::size_t n_shards) {
    if (n_shards == 1) return "model.safetensors";
    return fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, n_shards);
}

bool is_name_of_export(std::string_view name) {
    constexpr std::array<std::string_view, 7> kTexts{"config.json",
                                                     "tokenizer.json",
                                                     "tokenizer_config.json",
                                                     "generation_config.json",
                                                     "special_tokens_map.json",
                                                     "chat_template.jinja",
                                                     "model.safetensors.index.json"};
    return std::ranges::find(kTexts, name) != kTexts.end() ||
           (name.starts_with("model") && name.ends_with(".safetensors"));
}

bool has_qkv_biases(const Model& model) {
    return std::ranges::any_of(model.tensors(), [](const ModelTensor& tensor) { return tensor.id.is_bias; });
}

/// The family whose config.json describes the model: of llama and qwen2, the one has no biases on queries, keys and
/// values, the other has.
const Family& exported_family(const Model& model) {
    const Family& own = family_of(model.architecture());
    if (model.architecture().experts.count > 0)
        throw Error(ErrorKind::kUsage, fmt::format("export: experts of a {} are not taken apart for a folder; keep "
                                                   "this model as GGUF",
                                                   own.name));
    const bool is_biased = has_qkv_biases(model);
    const std::string_view type = is_biased                 ? own.biased_export_type
                                  : own.export_type.empty() ? own.model_type
                                                            : own.export_type;
    if (const Family* family = family_of_model_type(type)) return *family;
    throw Error(ErrorKind::kUsage, fmt::format("export: config.json has no way to describe a {}{}; keep this model as "
                                               "GGUF",
                                               own.name, is_biased ? " with biases" : ""));
}

nlohmann::json make_config(const Model& model, const FolderForm& form) {
    Architecture architecture = model.architecture();
    architecture.name = form.family.form;
    nlohmann::json config = config_from_architecture(architecture);
    config["torch_dtype"] = form.dtype.torch;
    config["_name_or_path"] = architecture.model_name;

    const ModelTensor* frequencies = model.find({TensorRole::kRopeFrequencies});
    if (!frequencies) return config;
    std::vector<float> factors(static_cast<std::size_t>(frequencies->cols));
    model.read_rows_f32(*frequencies, 0, 1, factors);
    const std::optional<Llama3Rope> rope = recognise_llama3_rope(factors, architecture.rope_freq_base);
    if (!rope)
        throw Error(ErrorKind::kUsage,
                    fmt::format("export: {} follows no scheme that config.json can express", frequencies->name));
    config["rope_scaling"] = {{"rope_type", "llama3"},
                              {"factor", rope->factor},
                              {"low_freq_factor", rope->low_freq_factor},
                              {"high_freq_factor", rope->high_freq_factor},
                              {"original_max_position_embeddings", rope->original_context_length}};
    return config;
}

void write_texts(const Model& model, nlohmann::json config, const std::filesystem::path& folder, Progress& progress) {
    const auto write = [&](const char* name, const std::string& text) {
        write_text_file(folder / name, text, Overwrite::kRefuse);
    };
    if (model.tokenizer().contains("tokenizer.ggml.tokens")) {
        const HfTokenizerFiles files = write_hf_tokenizer(model.tokenizer());
        write("tokenizer.json", files.tokenizer);
        write("tokenizer_config.json", files.tokenizer_config);
        write("generation_config.json", files.generation_config);
        if (const std::string chat = model.tokenizer().text_or("tokenizer.chat_template", ""); !chat.empty())
            write("chat_template.jinja", chat);
        config.update(nlohmann::json::parse(files.generation_config));  // ids stand in both, as is the custom
    } else {
        progress.note("the model has no tokenizer; the folder gets none");
    }
    write("config.json", config.dump(2) + "\n");
}

void write_shard(const Model& model, const Shard& shard, const FolderForm& form, const std::filesystem::path& path,
                 Progress& progress) {
    std::vector<SafetensorsSpec> specs;
    for (const ModelTensor* tensor : shard) specs.push_back(spec_of(*tensor, form));
    SafetensorsWriter writer(path, std::move(specs), Overwrite::kRefuse);
    for (const ModelTensor* tensor : shard) {
        const bool is_offset = form.family.norms_are_offsets && is_norm(tensor->id.role);
        const TensorForm wanted{
            .type = form.dtype.type, .rope_layout = RopeLayout::kNeox, .added = is_offset ? -1.0f : 0.0f};
        stream_tensor(model, *tensor, wanted, [&](std::span<const std::byte> tile) { writer.write(tile); }, progress);
    }
    writer.finish();
}

void write_index(const std::vector<Shard>& shards, const FolderForm& form, const std::filesystem::path& folder) {
    if (shards.size() == 1) return;
    std::uint64_t total_bytes = 0;
    nlohmann::json weight_map = nlohmann::json::object();
    for (std::size_t i = 0; i < shards.size(); ++i)
        for (const ModelTensor* tensor : shards[i]) {
            total_bytes += spec_of(*tensor, form).bytes();
            weight_map[hf_name(tensor->id, form.family.hf_spellings)] = shard_name(i, shards.size());
        }
    const nlohmann::json index{{"metadata", {{"total_size", total_bytes}}}, {"weight_map", weight_map}};
    write_text_file(folder / "model.safetensors.index.json", index.dump(2) + "\n", Overwrite::kRefuse);
}

/// The folder is not the model's, nor do its files lie there, by links or otherwise.
void require_no_source_in(const std::filesystem::path& folder, const Model& model) {
    bool is_source = model.reads_from(folder);
    std::error_code failure;
    for (std::filesystem::directory_iterator entry(folder, failure), end; !failure && entry != end;
         entry.increment(failure))
        is_source = is_source || model.reads_from(entry->path());
    if (is_source)
        throw Error(ErrorKind::kUsage,
                    fmt::format("{}: is, or holds, the model being exported; name another folder", folder.string()));
}

std::uint64_t elements_of(const std::vector<Shard>& shards) {
    std::uint64_t elements = 0;
    for (const Shard& shard : shards)
        for (const ModelTensor* tensor : shard) elements += static_cast<std::uint64_t>(tensor->rows * tensor->cols);
    return elements;
}

}  // namespace

void export_hf(const Model& model, const HfExportOptions& options, Progress& progress) {
    const Dtype& dtype = dtype_of(options.dtype);
    require_no_source_in(options.folder, model);
    const FolderForm form{.dtype = dtype, .family = exported_family(model)};
    const nlohmann::json config = make_config(model, form);
    const std::vector<Shard> shards = split_into_shards(model, options, form);
    const std::uint64_t elements = elements_of(shards);

    StagedFolder folder(options.folder, options.overwrite, is_name_of_export);
    folder.require_space(elements * ggml_type_size(dtype.type));
    write_texts(model, config, folder.path(), progress);

    progress.begin("export", elements, "weights");
    for (std::size_t i = 0; i < shards.size(); ++i)
        write_shard(model, shards[i], form, folder.path() / shard_name(i, shards.size()), progress);
    write_index(shards, form, folder.path());
    model.require_unchanged();
    folder.commit();
    progress.end();
}

}  // namespace plasticity
