#include "artifact/gram.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "core/error.h"
#include "support/expect_error.h"
#include "support/square_gram.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

using test::squares_of;
using test::TempDir;

GramHeader sample_header() {
    return {.inputs = {{.matrix = "blk.0.attn_q.weight", .width = 3, .block = 3},
                       {.matrix = "blk.0.ffn_down.weight", .width = 4, .block = 2}},
            .n_tokens = 512,
            .datasets = {"a.txt"},
            .model_sha256 = "ab"};
}

void write_sample(const std::filesystem::path& path) {
    const GramHeader header = sample_header();
    GramWriter file(path, header, Overwrite::kReplace);
    file.write(header.inputs[0], std::vector<float>{1, -2, 5, 3, 4, 9});
    file.write(header.inputs[1], std::vector<float>{1, 2, 4, 0, 0, 7});
    file.finish();
}

TEST(Gram, ReadsBackWhatItWroteAsSymmetricSquares) {
    const TempDir dir;
    write_sample(dir / "g.gguf");
    EXPECT_EQ(std::filesystem::file_size(dir / "g.gguf"), gram_file_bytes(sample_header()));
    const GramFile file(dir / "g.gguf");
    EXPECT_EQ(file.header().n_tokens, 512);
    EXPECT_EQ(file.header().datasets, std::vector<std::string>{"a.txt"});
    EXPECT_EQ(file.header().model_sha256, "ab");
    const test::SquareGram whole = squares_of(file, "blk.0.attn_q.weight");
    EXPECT_EQ(whole.width, 3);
    EXPECT_EQ(whole.block, 3);
    EXPECT_EQ(whole.values, (std::vector<float>{1, -2, 3, -2, 5, 4, 3, 4, 9}));
    const test::SquareGram parts = squares_of(file, "blk.0.ffn_down.weight");
    EXPECT_EQ(parts.width, 4);
    EXPECT_EQ(parts.block, 2);
    EXPECT_EQ(parts.values, (std::vector<float>{1, 2, 2, 4, 0, 0, 0, 7}));
    file.require_unchanged();
}

TEST(Gram, BlocksAreTheWidestThatMemoryAllows) {
    const auto square = [](std::int64_t block) { return static_cast<std::uint64_t>(block * block); };
    EXPECT_EQ(block_within(8192, 8192 * 8192, square), 8192);
    EXPECT_EQ(block_within(8192, 8192 * 8192 - 1, square), 4096);
    EXPECT_EQ(block_within(9216, 4000 * 4000, square), 3072);  // halves are too wide, thirds are not
    EXPECT_EQ(block_within(1024, 256 * 256, square), 256);
    EXPECT_EQ(block_within(1024, 256 * 256 - 1, square), std::nullopt);
    EXPECT_EQ(block_within(64, 64 * 64, square), 64);  // the file's own block may be any
    EXPECT_EQ(block_within(64, 64 * 64 - 1, square), std::nullopt);
}

TEST(Gram, KnowsTheModelThatItIsOf) {
    const TempDir dir;
    write_sample(dir / "g.gguf");
    const GramFile file(dir / "g.gguf");
    file.require_model("ab");
    file.require_model("");
    test::expect_error(ErrorKind::kMalformed, {"ab", "cd"}, [&] { file.require_model("cd"); });
    ModelTensor value{.id = {TensorRole::kValue, 0}, .name = "blk.0.attn_v.weight", .rows = 5, .cols = 3};
    ASSERT_NE(file.find(value), nullptr);
    EXPECT_EQ(file.find(value)->matrix, "blk.0.attn_q.weight");
    value.cols = 4;
    test::expect_error(ErrorKind::kMalformed, {"attn_v", "3", "4"}, [&] { (void)file.find(value); });
    value.id.layer = 1;
    EXPECT_EQ(file.find(value), nullptr);
}

TEST(Gram, ReadsAPartOfABlockByItself) {
    const TempDir dir;
    GramHeader header = sample_header();
    header.inputs = {{.matrix = "blk.0.ffn_down.weight", .width = 8, .block = 4}};
    std::vector<float> packed(20);
    for (std::size_t i = 0; i < packed.size(); ++i) packed[i] = static_cast<float>(i + 1);
    GramWriter writer(dir / "g.gguf", header, Overwrite::kReplace);
    writer.write(header.inputs[0], packed);
    writer.finish();
    const GramFile file(dir / "g.gguf");
    const GramBlocks halves = file.blocks(*file.find("blk.0.ffn_down.weight"), 2);
    EXPECT_EQ(halves.width, 8);
    EXPECT_EQ(halves.block, 2);
    // Rows of the first block's triangle: 1 | 2 3 | 4 5 6 | 7 8 9 10
    EXPECT_EQ(halves.read(0).triangle, (std::vector<float>{1, 2, 3}));
    EXPECT_EQ(halves.read(2).triangle, (std::vector<float>{6, 9, 10}));
    EXPECT_EQ(halves.read(4).triangle, (std::vector<float>{11, 12, 13}));
    EXPECT_EQ(halves.read(6).triangle, (std::vector<float>{16, 19, 20}));
    EXPECT_EQ(halves.read(6).at(0, 1), 19);
    EXPECT_EQ(halves.read(6).at(1, 0), 19);
}

TEST(Gram, MatricesThatReadTheSameShareAnEntry) {
    const TempDir dir;
    write_sample(dir / "g.gguf");
    const GramFile file(dir / "g.gguf");
    for (const char* name : {"blk.0.attn_k.weight", "blk.0.attn_v.weight"}) {
        ASSERT_NE(file.find(name), nullptr) << name;
        EXPECT_EQ(file.find(name), file.find("blk.0.attn_q.weight"));
    }
    EXPECT_EQ(gram_owner("blk.3.ffn_up.weight"), "blk.3.ffn_gate.weight");
    EXPECT_EQ(gram_owner("blk.3.attn_output.weight"), "blk.3.attn_output.weight");
    EXPECT_EQ(file.find("blk.0.attn_output.weight"), nullptr);
    EXPECT_EQ(file.find("blk.1.attn_q.weight"), nullptr);
}

TEST(Gram, WideInputsAreKeptAsEqualBlocks) {
    EXPECT_EQ(gram_block(4864), 4864);
    EXPECT_EQ(gram_block(16384), 16384);
    EXPECT_EQ(gram_block(28672), 14336);
    EXPECT_EQ(gram_block(53248), 13312);
    EXPECT_EQ(gram_block(12, 5), 4);
    EXPECT_EQ(gram_block(16411), std::nullopt);  // a prime
}

/// A file in this form, spoilt by a change of its header or of a tensor's values.
struct RawFile {
    GgufLayout layout;
    std::vector<float> values{1, 2, 4};
};

RawFile raw_file() {
    RawFile raw;
    raw.layout.metadata.set("general.type", std::string("gram"));
    raw.layout.metadata.set("gram.tokens", std::uint64_t{7});
    raw.layout.tensors = {{"blk.0.attn_q.weight.gram", GGML_TYPE_F32, 2, {3, 1, 1, 1}}};
    return raw;
}

void write_raw(const RawFile& raw, const std::filesystem::path& path) {
    GgufWriter file(path, raw.layout, Overwrite::kReplace);
    for (const GgufTensorSpec& tensor : raw.layout.tensors)
        file.write(tensor.name, std::as_bytes(std::span(raw.values)).first(tensor.bytes()));
    file.finish();
}

TEST(Gram, NamesTheChannelsOfAPartThatIsDamaged) {
    const TempDir dir;
    RawFile raw = raw_file();
    raw.layout.tensors[0].dims = {10, 1, 1, 1};
    raw.values = {1, 0, 1, 0, 0, 1, 0, 0, 0, -3};
    write_raw(raw, dir / "g.gguf");
    const GramFile file(dir / "g.gguf");
    const GramInput& input = *file.find("blk.0.attn_q.weight");
    EXPECT_NO_THROW(file.read(input, 0, 2));
    test::expect_error(ErrorKind::kMalformed, {"(3, 3)", "-3"}, [&] { file.read(input, 2, 2); });
}

TEST(Gram, RefusesEveryKindOfDamageWhenOpened) {
    const TempDir dir;
    write_raw(raw_file(), dir / "g.gguf");
    EXPECT_EQ(squares_of(GramFile(dir / "g.gguf"), "blk.0.attn_v.weight").values, (std::vector<float>{1, 2, 2, 4}));
    const std::function<void(GgufLayout&)> damages[] = {
        [](GgufLayout& layout) { layout.metadata.set("general.type", std::string("imatrix")); },
        [](GgufLayout& layout) { layout.metadata.set("gram.tokens", std::int64_t{-1}); },
        [](GgufLayout& layout) { layout.metadata.set("gram.tokens", std::uint64_t{1} << 60); },
        [](GgufLayout& layout) { layout.metadata.erase("gram.tokens"); },
        [](GgufLayout& layout) { layout.tensors.clear(); },
        [](GgufLayout& layout) { layout.tensors[0].name = "blk.0.attn_q.weight.other"; },
        [](GgufLayout& layout) { layout.tensors[0].name = "blk.0.attn_k.weight.gram"; },
        [](GgufLayout& layout) { layout.tensors[0].name = "blk.0.attn_norm.weight.gram"; },
        [](GgufLayout& layout) { layout.tensors[0].name = "nonsense.gram"; },
        [](GgufLayout& layout) { layout.tensors[0].type = GGML_TYPE_F16; },
        [](GgufLayout& layout) { layout.tensors[0].dims = {2, 1, 1, 1}; },  // no triangle
        [](GgufLayout& layout) { layout.tensors[0].dims = {1, 3, 1, 1}, layout.tensors[0].type = GGML_TYPE_I32; },
    };
    for (const auto& damage : damages) {
        RawFile raw = raw_file();
        damage(raw.layout);
        write_raw(raw, dir / "g.gguf");
        try {
            GramFile file(dir / "g.gguf");
            ADD_FAILURE() << "damage " << &damage - damages;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kMalformed) << error.what();
        }
    }
}

TEST(Gram, RefusesMoreBlocksThanItWouldWrite) {
    const TempDir dir;
    RawFile raw = raw_file();
    raw.layout.tensors[0].dims = {1, 17, 1, 1};
    raw.values.assign(17, 1.0f);
    write_raw(raw, dir / "g.gguf");
    EXPECT_THROW(GramFile(dir / "g.gguf"), Error);
}

TEST(Gram, RefusesValuesThatAreNoSumOfSquares) {
    const TempDir dir;
    const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    for (const std::vector<float>& bad :
         {std::vector<float>{-1, 2, 4}, {1, nan, 4}, {1, 2, nan}, {1, 2, inf}, {1, -inf, 4}}) {
        RawFile raw = raw_file();
        raw.values = bad;
        write_raw(raw, dir / "g.gguf");
        const GramFile file(dir / "g.gguf");
        EXPECT_THROW(squares_of(file, "blk.0.attn_q.weight"), Error);
        GramHeader header = sample_header();
        header.inputs = {{.matrix = "blk.0.attn_q.weight", .width = 2, .block = 2}};
        GramWriter writer(dir / "w.gguf", header, Overwrite::kReplace);
        EXPECT_THROW(writer.write(header.inputs[0], bad), Error);
    }
    EXPECT_FALSE(std::filesystem::exists(dir / "w.gguf"));
}

}  // namespace
}  // namespace plasticity
