#include "model/hf_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
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
#include "model/hf_tensors.h"
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
        bool is_described = false;
        attempt(problems, [&] {
            family = &family_of_config(config);
            architecture_ = architecture_from_config(config);
            is_described = true;
        });
        weights_ = HfTensors(family, is_described ? &architecture_ : nullptr);
        for (std::size_t shard = 0; shard < shards_.size(); ++shard) collect_tensors(shard, index, problems);
        check_index(index, problems);
        weights_.join_experts(problems);
        if (is_described) attempt(problems, [&] { check_weights(config, problems); });
        problems.throw_if_any();
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
        if (n_rows == 0) return;
        const HfSource& source = weights_.source(tensor.name);
        if (source.is_offset_from_one)
            read_offset(source, out);
        else if (source.parts.empty())
            std::memcpy(out.data(), source.computed.data(), out.size());
        else
            read_parts(source, tensor.row_bytes(), {first_row, first_row + n_rows}, out);
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
            weights_.add(shard, entry, problems);
        }
    }

    struct RowRange {
        std::int64_t begin;
        std::int64_t end;
    };

    void read_parts(const HfSource& source, std::uint64_t row_bytes, RowRange wanted, std::span<std::byte> out) const {
        std::int64_t part_begin = 0;
        for (const HfRows& part : source.parts) {
            const std::int64_t begin = std::max(wanted.begin, part_begin);
            const std::int64_t end = std::min(wanted.end, part_begin + part.n_rows);
            const auto bytes_of = [&](std::int64_t rows) { return row_bytes * static_cast<std::uint64_t>(rows); };
            if (begin < end)
                shards_[part.shard].read(*part.entry, bytes_of(part.first_row + begin - part_begin),
                                         out.subspan(bytes_of(begin - wanted.begin), bytes_of(end - begin)));
            part_begin += part.n_rows;
        }
    }

    /// One vector of F32, from whatever is stored.
    void read_offset(const HfSource& source, std::span<std::byte> out) const {
        const HfRows& part = source.parts.front();
        const ggml_type type = type_of_dtype(part.entry->dtype).value_or(GGML_TYPE_F32);
        const std::size_t n = out.size() / sizeof(float);
        std::vector<std::byte> stored(ggml_row_size(type, static_cast<std::int64_t>(n)));
        shards_[part.shard].read(*part.entry, 0, stored);
        std::vector<float> values(n);
        if (type == GGML_TYPE_F32)
            std::memcpy(values.data(), stored.data(), stored.size());
        else
            ggml_get_type_traits(type)->to_float(stored.data(), values.data(), static_cast<std::int64_t>(n));
        for (float& value : values) value += 1.0f;
        std::memcpy(out.data(), values.data(), out.size());
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
        if (architecture_.tied_embeddings)
            std::erase_if(tensors_, is_output);
        else if (!field(config, "tie_word_embeddings"))
            architecture_.tied_embeddings = std::ranges::none_of(tensors_, is_output);
    }

    bool has_tokenizer() const { return std::filesystem::exists(path_ / "tokenizer.json"); }

    void name_model() {
        std::string& name = architecture_.model_name;
        if (name.empty()) name = model_name_of_folder(path_);
        general_.set("general.type", std::string("model"));
        general_.set("general.name", name);
    }

    std::vector<SafetensorsReader> shards_;
    HfTensors weights_{nullptr, nullptr};
};

}  // namespace

std::unique_ptr<Model> open_hf_model(const std::filesystem::path& folder) {
    return std::make_unique<HfModel>(folder);
}

}  // namespace plasticity
