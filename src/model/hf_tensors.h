#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "io/problem_list.h"
#include "io/safetensors_reader.h"
#include "model/family.h"
#include "model/model.h"

namespace plasticity {

/// Whole rows of one tensor of a safetensors file.
struct HfRows {
    std::size_t shard = 0;
    const SafetensorsEntry* entry = nullptr;
    std::int64_t first_row = 0;  ///< within the entry
    std::int64_t n_rows = 0;
};

/// Where the rows of a weight lie, in order, or the values themselves where they follow from config.json.
struct HfSource {
    std::vector<HfRows> parts;
    std::vector<float> computed;
    bool is_offset_from_one = false;  ///< the weight is what is stored, plus 1
};

/// Finds the weights in the tensors of a Hugging Face folder: one for one, several in one tensor (fused projections),
/// or one in many tensors (experts).
class HfTensors {
public:
    /// @param family, architecture  nullptr where config.json did not give them; then names are checked as far as
    /// possible
    HfTensors(const Family* family, const Architecture* architecture) : family_(family), architecture_(architecture) {}

    /// @param entry  outlives this
    void add(std::size_t shard, const SafetensorsEntry& entry, ProblemList& problems);
    /// Puts the experts together, once all entries are there.
    void join_experts(ProblemList& problems);
    void add_computed(TensorRole role, std::vector<float> values);

    const std::vector<ModelTensor>& tensors() const { return tensors_; }
    /// By GGUF's name. @throws std::out_of_range
    const HfSource& source(const std::string& name) const { return sources_.at(name); }

private:
    struct ExpertPiece {
        std::size_t shard;
        const SafetensorsEntry* entry;
    };

    void add_whole(const TensorId& id, ggml_type type, std::size_t shard, const SafetensorsEntry& entry);
    bool add_fused(const BlockName& name, ggml_type type, std::size_t shard, const SafetensorsEntry& entry,
                   ProblemList& problems);
    bool add_expert(const BlockName& name, std::size_t shard, const SafetensorsEntry& entry, ProblemList& problems);

    const Family* family_;
    const Architecture* architecture_;
    std::vector<ModelTensor> tensors_;
    std::map<std::string, HfSource> sources_;
    std::map<std::pair<int, TensorRole>, std::map<std::int32_t, ExpertPiece>> experts_;  ///< by block and role
};

/// The type of a safetensors dtype that weights may have. @returns nothing for others
std::optional<ggml_type> type_of_dtype(std::string_view dtype);

}  // namespace plasticity
