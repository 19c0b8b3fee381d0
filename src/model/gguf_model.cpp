#include "model/gguf_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "io/gguf_reader.h"
#include "io/printable.h"
#include "model/attempt.h"
#include "model/column_padding.h"
#include "model/family.h"
#include "model/tensor_check.h"
#include "model/tokenizer_check.h"

namespace plasticity {
namespace {

class GgufModel final : public Model {
public:
    explicit GgufModel(const std::filesystem::path& path) : reader_(path) {
        path_ = path;
        files_ = {{path, reader_.file().size()}};
        ProblemList problems(path.string());
        check_is_whole(problems);
        bool is_described = false;
        attempt(problems, [&] {
            const bool has_output = reader_.find(gguf_name({TensorRole::kOutput})) != nullptr;
            architecture_ = architecture_from_gguf(reader_.metadata(), has_output);
            is_described = true;
        });
        collect_tensors(is_described, problems);
        attempt(problems, [&] {
            if (is_described && reader_.metadata().boolean_or(kPaddedColumnsKey, false))
                take_off_padded_columns(architecture_, tensors_);
        });
        check_tokenizer(reader_.metadata(), problems);
        if (is_described) check_tensors(architecture_, tensors_, problems);
        problems.throw_if_any();
        carry_over_metadata();
        if (pass_over_tied_copy())
            places_[gguf_name({TensorRole::kTokenEmbedding})] = places_.at(gguf_name({TensorRole::kOutput}));
        sort_tensors(tensors_);
    }

    void read_rows(const ModelTensor& tensor, std::int64_t first_row, std::int64_t n_rows,
                   std::span<std::byte> out) const override {
        const auto place = places_.find(tensor.name);
        const bool fits = place != places_.end() && first_row >= 0 && n_rows >= 0 &&
                          first_row <= tensor.rows - n_rows &&
                          out.size() == tensor.row_bytes() * static_cast<std::uint64_t>(n_rows);
        if (!fits)
            throw Error(ErrorKind::kInternal,
                        fmt::format("{}: asked for rows {} + {} of {}", tensor.name, first_row, n_rows, tensor.rows));
        const auto& [stored, rows_before] = place->second;
        reader_.read(*stored, tensor.row_bytes() * static_cast<std::uint64_t>(rows_before + first_row), out);
    }

    void require_unchanged() const override { reader_.file().require_unchanged(); }
    bool reads_from(const std::filesystem::path& path) const override { return reader_.file().is_same_file(path); }

private:
    void check_is_whole(ProblemList& problems) const {
        attempt(problems, [&] {
            if (const std::int64_t n = reader_.metadata().integer_or("split.count", 1); n > 1)
                problems.add(
                    fmt::format("split.count: one of {} parts; join them first (llama-gguf-split --merge)", n));
        });
    }

    /// Where the rows of a weight lie.
    struct Place {
        const GgufTensor* stored;
        std::int64_t rows_before;
    };

    void collect_tensors(bool is_described, ProblemList& problems) {
        const Family* family = is_described ? family_of_gguf(reader_.metadata().text("general.architecture")) : nullptr;
        for (const GgufTensor& stored : reader_.tensors()) {
            if (family && add_fused(*family, stored, problems)) continue;
            const std::optional<TensorId> id = parse_gguf_name(stored.name);
            const int most_dims = id && is_of_experts(id->role) ? 3 : 2;
            if (!id)
                problems.add(
                    fmt::format("{}: unknown tensor; is this a model of another family?", printable(stored.name)));
            else if (static_cast<int>(stored.n_dims) > most_dims)
                problems.add(fmt::format("{}: got {} dimensions; expected {}", stored.name, stored.n_dims,
                                         most_dims == 2 ? "one or two" : "up to three"));
            else
                add({.id = *id,
                     .name = stored.name,
                     .type = stored.type,
                     .rows = stored.n_rows(),
                     .cols = stored.row_length(),
                     .is_vector = stored.n_dims == 1,
                     .n_matrices = stored.dims[2]},
                    {&stored, 0});
        }
    }

    void add(ModelTensor tensor, Place place) {
        places_[tensor.name] = place;
        tensors_.push_back(std::move(tensor));
    }

    /// Several weights that the family stores in one tensor.
    bool add_fused(const Family& family, const GgufTensor& stored, ProblemList& problems) {
        const std::optional<BlockName> name = split_gguf_name(stored.name);
        if (!name || name->suffix != ".weight" || name->layer >= architecture_.n_layer()) return false;
        const auto fused = std::ranges::find(family.fused, name->within, &FusedTensor::gguf);
        if (fused == family.fused.end() || stored.n_dims != 2) return false;

        std::int64_t first_row = 0;
        for (const TensorRole role : fused->parts) {
            const TensorId id{role, name->layer};
            const std::int64_t n_rows = rows_of(architecture_, id);
            add({.id = id, .name = gguf_name(id), .type = stored.type, .rows = n_rows, .cols = stored.row_length()},
                {&stored, first_row});
            first_row += n_rows;
        }
        if (first_row != stored.n_rows())
            problems.add(fmt::format("{}: got {} rows; expected {}", stored.name, stored.n_rows(), first_row));
        return true;
    }

    void carry_over_metadata() {
        // What describes this file rather than the model.
        constexpr std::array<std::string_view, 5> kOfTheFile{"general.architecture", "general.file_type",
                                                             "general.quantization_version", "general.alignment",
                                                             "general.quantized_by"};
        for (const auto& [key, value] : reader_.metadata().entries())
            if (key.starts_with("tokenizer."))
                tokenizer_.set(key, value);
            else if (key.starts_with("general.") && std::ranges::find(kOfTheFile, key) == kOfTheFile.end())
                general_.set(key, value);
    }

    GgufReader reader_;
    std::map<std::string, Place, std::less<>> places_;
};

}  // namespace

std::unique_ptr<Model> open_gguf_model(const std::filesystem::path& path) {
    return std::make_unique<GgufModel>(path);
}

}  // namespace plasticity
