#include "model/hf_model.h"

#include <fmt/format.h>

#include <algorithm>
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
#include "model/hf_rows.h"
#include "model/hf_tensors.h"
#include "model/model_card.h"
#include "model/rope_factors.h"
#include "model/tensor_check.h"
#include "model/tokenizer_check.h"
#include "model/tokenizer_metadata.h"

namespace plasticity {
namespace {

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
        const Family* family = nullptr;
        Fp8Scheme scheme;
        bool is_described = false;
        attempt(problems, [&] {
            family = &family_of_config(config);
            scheme = fp8_scheme_from_config(config);
            architecture_ = architecture_from_config(config);
            is_described = true;
        });
        weights_ = HfTensors(family, is_described ? &architecture_ : nullptr);
        collect_tensors(index, WeightScales(scheme), problems);
        check_index(index, problems);
        weights_.join_experts(problems);
        if (is_described) attempt(problems, [&] { check_weights(config, problems); });
        problems.throw_if_any();
        for (const ModelTensor& tensor : tensors_) check_scales(shards_, weights_.source(tensor.name), problems);
        problems.throw_if_any();
        if (pass_over_tied_copy())
            weights_.move(gguf_name({TensorRole::kTokenEmbedding}), gguf_name({TensorRole::kOutput}));
        sort_tensors(tensors_);
        name_model();
    }

    void read_rows(const ModelTensor& tensor, std::int64_t first_row, std::int64_t n_rows,
                   std::span<std::byte> out) const override {
        const bool fits = find(tensor.id) && first_row >= 0 && n_rows >= 0 && first_row <= tensor.rows - n_rows &&
                          out.size() == tensor.row_bytes() * static_cast<std::uint64_t>(n_rows);
        if (!fits)
            throw Error(ErrorKind::kInternal,
                        fmt::format("{}: asked for rows {} + {} of {}", tensor.name, first_row, n_rows, tensor.rows));
        read_hf_rows(shards_, weights_.source(tensor.name), {first_row, first_row + n_rows}, out);
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

    /// Scales first, since they may lie behind their weights and in other shards.
    void collect_tensors(const ShardIndex& index, WeightScales scales, ProblemList& problems) {
        std::vector<ShardEntry> weights;
        for (std::size_t shard = 0; shard < shards_.size(); ++shard)
            for (const SafetensorsEntry& entry : shards_[shard].entries())
                if (const ShardEntry tensor{shard, &entry}; is_where_indexed(tensor, index, problems))
                    if (!scales.take(tensor, problems)) weights.push_back(tensor);
        for (const ShardEntry& tensor : weights) weights_.add(tensor, scales, problems);
        scales.report_unclaimed(problems);
    }

    bool is_where_indexed(const ShardEntry& tensor, const ShardIndex& index, ProblemList& problems) const {
        if (index.shard_of.empty()) return true;
        const auto place = index.shard_of.find(tensor.entry->name);
        if (place != index.shard_of.end() && place->second == tensor.shard) return true;
        problems.add(fmt::format("{}: lies in {}, which the shard index does not say", printable(tensor.entry->name),
                                 files_[tensor.shard].path.filename().string()));
        return false;
    }

    void check_weights(const nlohmann::json& config, ProblemList& problems) {
        if (const std::optional<Llama3Rope> rope = llama3_rope_from_config(config))
            weights_.add_computed(TensorRole::kRopeFrequencies,
                                  rope_frequency_factors(*rope, architecture_.rope_freq_base, architecture_.n_rot));
        tensors_ = weights_.tensors();
        settle_output(config);
        check_tensors(architecture_, tensors_, problems);
        // Only a vocabulary that the weights bear out: config.json alone must not choose how much memory it takes.
        const ModelTensor* embedding = find({TensorRole::kTokenEmbedding});
        if (!has_tokenizer() || !embedding || embedding->rows != architecture_.n_vocab) return;
        tokenizer_ = read_hf_tokenizer(path_, architecture_.n_vocab);
        check_tokenizer(tokenizer_, problems);
    }

    void check_index(const ShardIndex& index, ProblemList& problems) const {
        for (const auto& [name, shard] : index.shard_of)
            if (!shards_[shard].find(name))
                problems.add(fmt::format("{}: not in {}, where the shard index puts it", printable(name),
                                         files_[shard].path.filename().string()));
    }

    // transformers ignores a stored lm_head where config.json ties it to the embedding; so does this.
    void settle_output(const nlohmann::json& config) {
        const auto is_output = [](const ModelTensor& tensor) { return tensor.id.role == TensorRole::kOutput; };
        if (architecture_.tied_embeddings) {
            if (const auto output = std::ranges::find_if(tensors_, is_output); output != tensors_.end())
                tied_copy_ = TiedCopy{output->name, output->type, output->bytes(), std::nullopt};
            std::erase_if(tensors_, is_output);
        } else if (!field(config, "tie_word_embeddings")) {
            architecture_.tied_embeddings = std::ranges::none_of(tensors_, is_output);
        }
    }

    bool has_tokenizer() const { return std::filesystem::exists(path_ / "tokenizer.json"); }

    void name_model() {
        std::string& name = architecture_.model_name;
        if (name.empty()) name = model_name_of_folder(path_);
        general_.set("general.type", std::string("model"));
        general_.set("general.name", name);
        read_model_card(path_, general_);
    }

    std::vector<SafetensorsReader> shards_;
    HfTensors weights_{nullptr, nullptr};
};

}  // namespace

std::unique_ptr<Model> open_hf_model(const std::filesystem::path& folder) {
    return std::make_unique<HfModel>(folder);
}

}  // namespace plasticity
