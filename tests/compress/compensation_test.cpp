// compress --gram: pruned heads and channels are compensated for by those that stay.

#include "quant/compensation.h"

#include <gtest/gtest.h>

#include "compress/written_tensors.h"
#include "core/error.h"
#include "core/progress.h"
#include "io/gguf_reader.h"
#include "plasticity/compress.h"
#include "support/expect_error.h"
#include "support/file_content.h"
#include "support/temp_dir.h"
#include "support/tiny_gram.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

using Path = std::filesystem::path;
using test::values_of;
constexpr std::int64_t kWidth = 32;  // four heads of eight
const std::string kPruned = "blk.0.attn_output.weight";

class Compensated : public testing::Test {
protected:
    Compensated() {
        test::write_tiny_gguf(model_);
        recipe_ = test::tiny_recipe(*open_model(model_), {.kept_heads = {{0, 1}, {0, 1, 2, 3}}});
        write_gram(kWidth, "");
    }

    void write_gram(std::int64_t width, const std::string& model_sha256) {
        test::write_tiny_gram(gram_, {{"blk.0.attn_output.weight", width}, {"blk.1.attn_output.weight", width}},
                              model_sha256);
    }

    CompressOptions options(const std::string& output, int threads = 1) const {
        return {.model = model_, .output = dir_ / output, .gram = gram_, .overwrite = true, .threads = threads};
    }

    static CompressResult run(const CompressOptions& options, const Recipe& recipe) {
        return compress(options, recipe, *make_progress(ProgressStyle::kQuiet));
    }

    void expect_error(ErrorKind kind, const CompressOptions& wanted) const {
        test::expect_error(kind, {}, [&] { run(wanted, recipe_); });
    }

    test::TempDir dir_;
    Path model_ = dir_ / "in.gguf", gram_ = dir_ / "gram.gguf";
    Recipe recipe_;
};

TEST_F(Compensated, ChangesTheOutputsThatLoseHeadsAndNothingElse) {
    EXPECT_EQ(run(options("with.gguf"), recipe_).compensated, 1u);
    CompressOptions without = options("without.gguf");
    without.gram.reset();
    EXPECT_EQ(run(without, recipe_).compensated, 0u);

    const auto model = open_model(model_);
    std::vector<std::int64_t> kept(16);
    for (std::size_t i = 0; i < kept.size(); ++i) kept[i] = static_cast<std::int64_t>(i);
    const std::vector<float> source = test::all_values(*model, {TensorRole::kAttentionOutput, 0});
    std::vector<float> expected(source.size() / 2);
    const GramFile gram(gram_);
    const GramInput& input = *gram.find(kPruned);
    Compensation(gram.blocks(input, input.block), kept).apply(source, expected);
    EXPECT_EQ(values_of(dir_ / "with.gguf", kPruned), expected);
    EXPECT_NE(values_of(dir_ / "without.gguf", kPruned), expected);
    const GgufReader file(dir_ / "with.gguf");
    for (const GgufTensor& tensor : file.tensors()) {
        if (tensor.name == kPruned) continue;
        EXPECT_EQ(values_of(dir_ / "with.gguf", tensor.name), values_of(dir_ / "without.gguf", tensor.name))
            << tensor.name;
    }
}

TEST_F(Compensated, LetsChannelsTakeOverWhatOthersDid) {
    const std::string down = "blk.1.ffn_down.weight";
    constexpr std::int64_t kChannels = 48;
    const std::vector<std::int32_t> some{0, 1, 7, 30, 31, 32, 46};
    recipe_ = test::tiny_recipe(*open_model(model_), {.kept_channels = {test::up_to(kChannels), some}});
    test::write_tiny_gram(gram_, {{down, kChannels}}, "");
    EXPECT_EQ(run(options("with.gguf"), recipe_).compensated, 1u);

    const std::vector<float> source = test::all_values(*open_model(model_), {TensorRole::kDown, 1});
    std::vector<float> expected(source.size() / kChannels * some.size());
    const GramFile gram(gram_);
    const GramInput& input = *gram.find(down);
    Compensation(gram.blocks(input, input.block), std::vector<std::int64_t>(some.begin(), some.end()))
        .apply(source, expected);
    EXPECT_EQ(values_of(dir_ / "with.gguf", down), expected);
}

TEST_F(Compensated, GivesTheSameBytesWithAnyNumberOfThreads) {
    run(options("one.gguf", 1), recipe_);
    run(options("three.gguf", 3), recipe_);
    EXPECT_EQ(test::read_bytes(dir_ / "one.gguf"), test::read_bytes(dir_ / "three.gguf"));
}

TEST_F(Compensated, RefusesGramMatricesThatDoNotFit) {
    write_gram(24, "");
    expect_error(ErrorKind::kMalformed, options("out.gguf"));
    write_gram(kWidth, "another model");
    recipe_.base_model_sha256 = "this model";
    expect_error(ErrorKind::kMalformed, options("out.gguf"));
    std::filesystem::remove(gram_);
    expect_error(ErrorKind::kMissing, options("out.gguf"));
    EXPECT_FALSE(std::filesystem::exists(dir_ / "out.gguf"));
}

TEST_F(Compensated, NeverWritesOntoTheGramMatrices) {
    const std::string before = test::read_bytes(gram_);
    expect_error(ErrorKind::kUsage, options("gram.gguf"));
    EXPECT_EQ(test::read_bytes(gram_), before);
}

}  // namespace
}  // namespace plasticity
