#include "model/gguf_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "io/gguf_reader.h"
#include "io/printable.h"
#include "model/attempt.h"
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
        collect_tensors(problems);
        check_tokenizer(reader_.metadata(), problems);
        attempt(problems, [&] {
            const bool has_output = reader_.find(gguf_name({TensorRole::kOutput})) != nullptr;
            architecture_ = architecture_from_gguf(reader_.metadata(), has_output);
            check_tensors(architecture_, tensors_, problems);
        });
        problems.throw_if_any();
        sort_tensors(tensors_);
        carry_over_metadata();
    }

    void read_rows(const ModelTensor& tensor, std::int64_t first_row, std::int64_t n_rows,
                   std::span<std::byte> out) const override {
        const GgufTensor* stored = reader_.find(tensor.name);
        const bool fits = stored && first_row >= 0 && n_rows >= 0 && first_row <= tensor.rows - n_rows &&
                          out.size() == tensor.row_bytes() * static_cast<std::uint64_t>(n_rows);
        if (!fits)
            throw Error(ErrorKind::kInternal,
                        fmt::format("{}: asked for rows {} + {} of {}", tensor.name, first_row, n_rows, tensor.rows));
        reader_.read(*stored, tensor.row_bytes() * static_cast<std::uint64_t>(first_row), out);
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

    void collect_tensors(ProblemList& problems) {
        for (const GgufTensor& stored : reader_.tensors()) {
            const std::optional<TensorId> id = parse_gguf_name(stored.name);
            if (!id)
                problems.add(
                    fmt::format("{}: unknown tensor; is this a model of another family?", printable(stored.name)));
            else if (stored.n_dims > 2)
                problems.add(fmt::format("{}: got {} dimensions; expected one or two", stored.name, stored.n_dims));
            else
                tensors_.push_back({.id = *id,
                                    .name = stored.name,
                                    .type = stored.type,
                                    .rows = stored.n_rows(),
                                    .cols = stored.row_length(),
                                    .is_vector = stored.n_dims == 1});
        }
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
};

}  // namespace

std::unique_ptr<Model> open_gguf_model(const std::filesystem::path& path) {
    return std::make_unique<GgufModel>(path);
}

}  // namespace plasticity
