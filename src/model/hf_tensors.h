#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/problem_list.h"
#include "model/family.h"
#include "model/model.h"
#include "model/weight_scales.h"

namespace plasticity {

/// A tensor and what its values are multiplied by, if anything.
struct StoredWeight {
    ShardEntry tensor;
    std::optional<WeightScale> scale;
};

/// Whole rows of one tensor of a safetensors file.
struct HfRows {
    StoredWeight weight;
    std::int64_t first_row = 0;  ///< within the tensor
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

    /// @param tensor  outlives this
    /// @param scales  of all shards; that of the tensor is claimed
    void add(const ShardEntry& tensor, WeightScales& scales, ProblemList& problems);
    /// Puts the experts together, once all entries are there.
    void join_experts(ProblemList& problems);
    void add_computed(TensorRole role, std::vector<float> values);
    /// What is called `name`, GGUF's, henceforth lies where `other` does.
    void move(const std::string& name, const std::string& other) { sources_[name] = sources_.at(other); }

    const std::vector<ModelTensor>& tensors() const { return tensors_; }
    /// By GGUF's name. @throws std::out_of_range
    const HfSource& source(const std::string& name) const { return sources_.at(name); }

private:
    void add_whole(const TensorId& id, const StoredWeight& weight);
    bool add_fused(const BlockName& name, const StoredWeight& weight, ProblemList& problems);
    bool add_expert(const BlockName& name, const StoredWeight& weight, ProblemList& problems);

    const Family* family_;
    const Architecture* architecture_;
    std::vector<ModelTensor> tensors_;
    std::map<std::string, HfSource> sources_;
    std::map<std::pair<int, TensorRole>, std::map<std::int32_t, StoredWeight>> experts_;  ///< by block and role
};

}  // namespace plasticity
