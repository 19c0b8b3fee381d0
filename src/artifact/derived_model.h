#pragma once

#include <memory>
#include <utility>

#include "model/model.h"

namespace plasticity {

/// A model some of whose weights are computed, row by row when they are asked for, from those of another. All else,
/// its files included, is the other's own. Thread-safe like it.
class DerivedModel : public Model {
public:
    void require_unchanged() const override { base_->require_unchanged(); }
    bool reads_from(const std::filesystem::path& path) const override { return base_->reads_from(path); }

protected:
    explicit DerivedModel(std::unique_ptr<Model> base) : base_(std::move(base)) {
        architecture_ = base_->architecture();
        tensors_ = base_->tensors();
        tokenizer_ = base_->tokenizer();
        general_ = base_->general();
        files_ = base_->files();
        path_ = base_->path();
        tied_copy_ = base_->tied_copy();
    }

    const Model& base() const { return *base_; }
    /// A computed weight reads as F32.
    static void declare_computed(ModelTensor& tensor) {
        tensor.type = GGML_TYPE_F32;
        tensor.padded_cols = 0;
    }

private:
    std::unique_ptr<Model> base_;
};

}  // namespace plasticity
