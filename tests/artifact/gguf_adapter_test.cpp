#include "artifact/gguf_adapter.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "io/gguf_writer.h"
#include "support/expect_error.h"
#include "support/random_adapter.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

class AdapterFile : public testing::Test {
protected:
    /// A file of one adapted matrix, 4 × 32 of rank 2, but for what a test changes.
    void write(const GgufLayout& layout, float value = 0.5f) {
        GgufWriter file(path_, layout, Overwrite::kReplace);
        for (const GgufTensorSpec& tensor : layout.tensors) {
            std::vector<float> values(static_cast<std::size_t>(tensor.dims[0] * tensor.dims[1]), value);
            std::vector<std::byte> stored(tensor.bytes());
            if (tensor.type == GGML_TYPE_F32)
                std::ranges::copy(std::as_bytes(std::span(values)), stored.begin());
            else
                ggml_get_type_traits(tensor.type)->from_float_ref(values.data(), stored.data(), std::ssize(values));
            file.write(tensor.name, stored);
        }
        file.finish();
    }
    static GgufLayout layout() {
        GgufLayout layout;
        layout.metadata.set("general.architecture", std::string("llama"));
        layout.metadata.set("general.type", std::string("adapter"));
        layout.metadata.set("adapter.type", std::string("lora"));
        layout.metadata.set("adapter.lora.alpha", 4.0f);
        layout.tensors = {{"blk.1.attn_q.weight.lora_a", GGML_TYPE_F32, 2, {32, 2, 1, 1}},
                          {"blk.1.attn_q.weight.lora_b", GGML_TYPE_F32, 2, {2, 4, 1, 1}}};
        return layout;
    }
    void expect_refused(const GgufLayout& layout, std::initializer_list<std::string> words, float value = 0.5f) {
        write(layout, value);
        test::expect_error(ErrorKind::kMalformed, words, [&] { load_gguf_adapter(path_); });
    }

    test::TempDir dir_;
    std::filesystem::path path_ = dir_ / "adapter.gguf";
};

TEST_F(AdapterFile, ReadsBackWhatWasSaved) {
    const Architecture architecture = test::tiny_architecture();
    const LoraAdapter adapter = test::random_adapter(architecture);
    save_gguf_adapter(adapter, architecture, path_, Overwrite::kRefuse);
    const GgufAdapter read = load_gguf_adapter(path_);
    EXPECT_EQ(read.architecture, "llama");
    EXPECT_EQ(read.adapter.sha256(), adapter.sha256());
}

TEST_F(AdapterFile, TakesWhatTheConverterWrites) {
    for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0}) {
        GgufLayout stored = layout();
        stored.tensors[0].type = type;
        write(stored);
        const LoraAdapter adapter = load_gguf_adapter(path_).adapter;
        EXPECT_EQ(adapter.rank, 2);
        EXPECT_EQ(adapter.scale(), 2);
        ASSERT_EQ(adapter.matrices.size(), 1u);
        EXPECT_EQ(adapter.matrices[0].id, (TensorId{TensorRole::kQuery, 1}));
        EXPECT_EQ(adapter.matrices[0].rows, 4);
        EXPECT_EQ(adapter.matrices[0].cols, 32);
        for (const float value : adapter.matrices[0].a) EXPECT_NEAR(value, 0.5f, 1e-3f) << ggml_type_name(type);
    }
    GgufLayout without_alpha = layout();
    without_alpha.metadata.erase("adapter.lora.alpha");
    write(without_alpha);
    EXPECT_EQ(load_gguf_adapter(path_).adapter.scale(), 1);
}

TEST_F(AdapterFile, RefusesOtherKinds) {
    GgufLayout model = layout();
    model.metadata.set("general.type", std::string("model"));
    expect_refused(model, {"general.type is 'model'; expected 'adapter'"});
    GgufLayout control = layout();
    control.metadata.set("adapter.type", std::string("control_vector"));
    expect_refused(control, {"adapter.type is 'control_vector'"});
    GgufLayout infinite = layout();
    infinite.metadata.set("adapter.lora.alpha", std::numeric_limits<float>::infinity());
    expect_refused(infinite, {"adapter.lora.alpha is inf"});
    GgufLayout empty = layout();
    empty.tensors.clear();
    expect_refused(empty, {"no adapted matrices"});
}

TEST_F(AdapterFile, NamesEveryMatrixThatDoesNotFit) {
    GgufLayout lone = layout();
    lone.tensors[1].name = "blk.0.ffn_up.weight.lora_b";
    lone.tensors.push_back({"output.weight.lora_a", GGML_TYPE_F32, 2, {32, 2, 1, 1}});
    lone.tensors.push_back({"blk.0.attn_norm.weight", GGML_TYPE_F32, 1, {32, 1, 1, 1}});
    expect_refused(lone,
                   {"'blk.1.attn_q.weight': only one of lora_a and lora_b", "'blk.0.ffn_up.weight': only one",
                    "'output.weight': expected matrices of blocks", "'blk.0.attn_norm.weight': not a low-rank half"});
    GgufLayout uneven = layout();
    uneven.tensors[1].dims = {3, 4, 1, 1};
    expect_refused(uneven, {"'blk.1.attn_q.weight': halves of 2 × 32 and 4 × 3"});
    GgufLayout ranks = layout();
    ranks.tensors.push_back({"blk.0.attn_k.weight.lora_a", GGML_TYPE_F32, 2, {32, 1, 1, 1}});
    ranks.tensors.push_back({"blk.0.attn_k.weight.lora_b", GGML_TYPE_F32, 2, {1, 4, 1, 1}});
    expect_refused(ranks, {"expected one rank"});
    GgufLayout packed = layout();
    packed.tensors[0].type = GGML_TYPE_Q4_0;
    expect_refused(packed, {"'blk.1.attn_q.weight.lora_a' is q4_0; expected F32, F16, BF16 or Q8_0"});
    expect_refused(layout(), {"lora_a' at index 0 is nan"}, std::numeric_limits<float>::quiet_NaN());
}

}  // namespace
}  // namespace plasticity
