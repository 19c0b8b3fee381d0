#include "model/hf_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "io/atomic_file.h"
#include "io/hub_cache.h"
#include "io/printable.h"
#include "io/safetensors_reader.h"
#include "io/shard_index.h"
#include "io/strict_json.h"
#include "model/attempt.h"
#include "model/config_fields.h"
#include "model/rope_factors.h"
#include "model/tensor_check.h"
#include "model/tokenizer_check.h"
#include "model/tokenizer_metadata.h"

namespace plasticity {
namespace {

/// Where a weight lies, or the values themselves where they follow from config.json.
struct Stored {
    std::size_t shard = 0;
    const SafetensorsEntry* entry = nullptr;
    std::vector<float> computed;
};

std::optional<ggml_type> type_of_dtype(std::string_view dtype) {
    if (dtype == "F32") return GGML_TYPE_F32;
    if (dtype == "F16") return GGML_TYPE_F16;
    if (dtype == "BF16") return GGML_TYPE_BF16;
    return std::nullopt;
}

nlohmann::json read_config(const std::filesystem::path& path) {
    constexpr std::uint64_t kMaxBytes = 16 << 20;
    return parse_strict_json(read_text_file(path, kMaxBytes), path.string());
}

class HfModel final : public Model {
public:
    explicit HfModel(const std::filesystem::path& folder) {
        path_ = folder;
        const nlohmann::json config = read_config(folder / "config.json");
        const ShardIndex index = read_shard_index(folder);
        open_shards(index);

        ProblemList problems(folder.string());
        for (std::size_t shard = 0; shard < shards_.size(); ++shard) collect_tensors(shard, index, problems);
        check_index(index, problems);
        attempt(problems, [&] {
            architecture_ = architecture_from_config(config);
            settle_output(config);
            add_rope_frequencies(config);
            check_tensors(architecture_, tensors_, problems);
            // Only a vocabulary that the weights bear out: config.json alone must not choose how much memory it takes.
            const ModelTensor* embedding = find({TensorRole::kTokenEmbedding});
            if (!has_tokenizer() || !embedding || embedding->rows != architecture_.n_vocab) return;
            tokenizer_ = read_hf_tokenizer(folder, architecture_.n_vocab);
            check_tokenizer(tokenizer_, problems);
        });
        problems.throw_if_any();
        sort_tensors(tensors_);
        name_model();
    }

    void read_rows(const ModelTensor& tensor, std::int64_t first_row, std::int64_t n_rows,
                   std::span<std::byte> out) const override {
        const auto stored = stored_.find(tensor.name);
        const bool fits = stored != stored_.end() && first_row >= 0 && n_rows >= 0 &&
                          first_row <= tensor.rows - n_rows &&
                          out.size() == tensor.row_bytes() * static_cast<std::uint64_t>(n_rows);
        if (!fits)
            throw Error(ErrorKind::kInternal,
                        fmt::format("{}: asked for rows {} + {} of {}", tensor.name, first_row, n_rows, tensor.rows));
        const auto& [shard, entry, computed] = stored->second;
        if (entry)
            shards_[shard].read(*entry, tensor.row_bytes() * static_cast<std::uint64_t>(first_row), out);
        else if (n_rows > 0)
            std::memcpy(out.data(), computed.data(), out.size());
    }

    void require_unchanged() const override {
        for (const SafetensorsReader& shard : shards_) shard.file().require_unchanged();
    }

    bool reads_from(const std::filesystem::path& path) const override {
        std::error_code ignored;  // a path that does not exist is no source
        if (std::filesystem::equivalent(path, path_, ignored)) return true;
        for (const auto& entry : std::filesystem::directory_iterator(path_, ignored))
            if (std::filesystem::equivalent(path, entry.path(), ignored)) return true;
        return std::ranges::any_of(shards_, [&](const auto& shard) { return shard.file().is_same_file(path); });
    }

private:
    void open_shards(const ShardIndex& index) {
        shards_.reserve(index.shards.size());  // entries are pointed at
        for (const std::filesystem::path& path : index.shards) {
            shards_.emplace_back(path);
            files_.push_back({path, shards_.back().file().size()});
        }
    }

    void collect_tensors(std::size_t shard, const ShardIndex& index, ProblemList& problems) {
        for (const SafetensorsEntry& entry : shards_[shard].entries()) {
            if (!index.shard_of.empty()) {
                const auto place = index.shard_of.find(entry.name);
                if (place == index.shard_of.end() || place->second != shard) {
                    problems.add(fmt::format("{}: lies in {}, which the shard index does not say",
                                             printable(entry.name), files_[shard].path.filename().string()));
                    continue;
                }
            }
            collect_tensor(shard, entry, problems);
        }
    }

    void collect_tensor(std::size_t shard, const SafetensorsEntry& entry, ProblemList& problems) {
        if (entry.name.ends_with("rotary_emb.inv_freq"))
            return;  // a buffer of old checkpoints; config.json says the same
        const std::optional<TensorId> id = parse_hf_name(entry.name);
        const std::optional<ggml_type> type = type_of_dtype(entry.dtype);
        if (!id)
            problems.add(fmt::format("{}: unknown tensor; is this a model of another family?", printable(entry.name)));
        else if (!type)
            problems.add(fmt::format("{}: got dtype {}; expected BF16, F16 or F32", entry.name, entry.dtype));
        else if (entry.shape.empty() || entry.shape.size() > 2)
            problems.add(fmt::format("{}: got {} dimensions; expected one or two", entry.name, entry.shape.size()));
        else {
            const bool is_vector = entry.shape.size() == 1;
            tensors_.push_back({.id = *id,
                                .name = gguf_name(*id),
                                .type = *type,
                                .rows = is_vector ? 1 : entry.shape.front(),
                                .cols = entry.shape.back(),
                                .is_vector = is_vector});
            stored_[tensors_.back().name] = {.shard = shard, .entry = &entry, .computed = {}};
        }
    }

    void check_index(const ShardIndex& index, ProblemList& problems) const {
        for (const auto& [name, shard] : index.shard_of)
            if (!shards_[shard].find(name))
                problems.add(fmt::format("{}: not in {}, where the shard index puts it", printable(name),
                                         files_[shard].path.filename().string()));
    }

    // transformers ignores a stored lm_head where config.json ties it to the embedding; so does this.
    void settle_output(const nlohmann::json& config) {
        const std::string output = gguf_name({TensorRole::kOutput});
        if (architecture_.tied_embeddings) {
            std::erase_if(tensors_, [](const ModelTensor& tensor) { return tensor.id.role == TensorRole::kOutput; });
            stored_.erase(output);
        } else if (!field(config, "tie_word_embeddings")) {
            architecture_.tied_embeddings = !stored_.contains(output);
        }
    }

    void add_rope_frequencies(const nlohmann::json& config) {
        const std::optional<Llama3Rope> rope = llama3_rope_from_config(config);
        if (!rope) return;
        std::vector<float> factors = rope_frequency_factors(*rope, architecture_.rope_freq_base, architecture_.n_rot);
        tensors_.push_back({.id = {TensorRole::kRopeFrequencies},
                            .name = gguf_name({TensorRole::kRopeFrequencies}),
                            .type = GGML_TYPE_F32,
                            .cols = std::ssize(factors),
                            .is_vector = true});
        stored_[tensors_.back().name].computed = std::move(factors);
    }

    bool has_tokenizer() const { return std::filesystem::exists(path_ / "tokenizer.json"); }

    void name_model() {
        std::string& name = architecture_.model_name;
        if (name.empty()) name = model_name_of_folder(path_);
        general_.set("general.type", std::string("model"));
        general_.set("general.name", name);
    }

    std::vector<SafetensorsReader> shards_;
    std::map<std::string, Stored, std::less<>> stored_;
};

}  // namespace

std::unique_ptr<Model> open_hf_model(const std::filesystem::path& folder) {
    return std::make_unique<HfModel>(folder);
}

}  // namespace plasticity
