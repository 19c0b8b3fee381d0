#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/gguf_metadata.h"
#include "model/architecture.h"
#include "model/tensor_names.h"
#include "model/tied_copy.h"

namespace plasticity {

/// A weight as its source stores it: `rows` × `cols`, row-major; vectors have one row. Where the source stores several
/// in one tensor, each is a weight of its own here.
struct ModelTensor {
    TensorId id;
    std::string name;  ///< GGUF's name, whatever the source calls it
    ggml_type type = GGML_TYPE_F32;
    std::int64_t rows = 1;
    std::int64_t cols = 1;
    bool is_vector = false;
    std::int64_t n_matrices = 1;   ///< experts, whose matrices lie behind one another along the rows
    std::int64_t padded_cols = 0;  ///< of a stored row with the zeros at its end (model/column_padding.h); 0: none

    /// As GGUF stores it, outermost last.
    int n_dims() const { return is_vector ? 1 : n_matrices > 1 ? 3 : 2; }
    std::int64_t row_length() const { return padded_cols > 0 ? padded_cols : cols; }  ///< as stored
    std::uint64_t row_bytes() const { return ggml_row_size(type, row_length()); }
    std::uint64_t bytes() const { return row_bytes() * static_cast<std::uint64_t>(rows); }
};

struct SourceFile {
    std::filesystem::path path;
    std::uint64_t bytes = 0;
};

/// A language model on disk: geometry and tokenizer in memory, weights read by rows on demand.
/// Immutable and thread-safe once opened.
class Model {
public:
    virtual ~Model() = default;

    const Architecture& architecture() const { return architecture_; }
    const std::vector<ModelTensor>& tensors() const { return tensors_; }  ///< embedding, blocks in order, output
    const ModelTensor* find(const TensorId& id) const;
    /// @throws Error (kMalformed) naming the missing tensor
    const ModelTensor& require(const TensorId& id) const;

    /// `tokenizer.*` as GGUF holds them (made from tokenizer.json for Hugging Face folders).
    const GgufMetadata& tokenizer() const { return tokenizer_; }
    /// `general.*` worth carrying over to derived files (name, license, languages, …), without file-specific keys.
    const GgufMetadata& general() const { return general_; }
    /// The file that metadata and weights come from, or the folder's shards.
    const std::vector<SourceFile>& files() const { return files_; }
    const std::filesystem::path& path() const { return path_; }
    /// The second copy of a tied matrix that the source holds and `tensors()` does not, if there is one.
    const std::optional<TiedCopy>& tied_copy() const { return tied_copy_; }

    /// Stored bytes of whole rows. @param out  exactly n_rows · tensor.row_bytes()
    virtual void read_rows(const ModelTensor& tensor, std::int64_t first_row, std::int64_t n_rows,
                           std::span<std::byte> out) const = 0;
    /// Rows as F32. @param out  exactly n_rows · tensor.cols
    void read_rows_f32(const ModelTensor& tensor, std::int64_t first_row, std::int64_t n_rows,
                       std::span<float> out) const;
    /// The sources are still what they were when opened. @throws Error (kIo)
    virtual void require_unchanged() const = 0;
    /// True when `path` is one of the sources: nothing may be written there.
    virtual bool reads_from(const std::filesystem::path& path) const = 0;

protected:
    /// Of two copies of a tied matrix the finer stays, as the embedding.
    /// @returns true when that is the output, whose rows the embedding's name now stands for
    bool pass_over_tied_copy();

    Architecture architecture_;
    std::vector<ModelTensor> tensors_;
    GgufMetadata tokenizer_;
    GgufMetadata general_;
    std::vector<SourceFile> files_;
    std::filesystem::path path_;
    std::optional<TiedCopy> tied_copy_;
};

/// What MODEL on a command line stands for: itself where there is such a file or folder, else the place of that hub
/// name (OWNER/NAME[@REVISION][:FILE], see io/hub_cache.h) in the local cache.
/// @throws Error (kMissing with where was looked and how to fetch it, kUsage, kMalformed, kIo)
std::filesystem::path locate_model(const std::filesystem::path& given);

/// Opens a GGUF file, a Hugging Face folder or a hub name in the local cache, and checks it whole: every tensor the
/// architecture needs is there, with the shape it must have, and none is unknown.
/// @throws Error (kMissing, kMalformed with every problem in one message, kIo; as locate_model)
std::unique_ptr<Model> open_model(const std::filesystem::path& given);

/// Of all its files.
std::uint64_t source_bytes(const Model& model);
/// Of all its tensors.
std::uint64_t weight_count(const Model& model);
/// What tells whether the files have changed, without reading them: file_identity of each.
std::string source_identity(const Model& model);

/// SHA-256 over names, types, shapes and bytes of all weights, in tensor order: the identity of a model in artifacts.
/// Reads the whole model.
std::string model_sha256(const Model& model);

}  // namespace plasticity
