#include "plasticity/compress.h"

#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>

#include "artifact/statistics.h"
#include "compress/skewed_statistics.h"
#include "compress/tensor_encoder.h"
#include "compress/written_tensors.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "io/gguf_reader.h"
#include "model/hf_export.h"
#include "support/file_content.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

using test::TempDir, test::TinyModelOptions, test::TinyRecipeOptions;
using Path = std::filesystem::path;
using test::values_of;

std::vector<std::string> entries_of(const Path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
}

std::string error_of(const std::function<void()>& action, ErrorKind kind) {
    try {
        action();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), kind) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return {};
}

CompressResult run(const CompressOptions& options, const Recipe& recipe) {
    return compress(options, recipe, *make_progress(ProgressStyle::kQuiet));
}

class Compress : public testing::Test {
protected:
    Path source(const TinyModelOptions& options = {}) { return test::write_tiny_gguf(dir_ / "in.gguf", options); }
    Recipe recipe_for(const Path& model, const TinyRecipeOptions& options = {}) {
        return test::tiny_recipe(*open_model(model), options);
    }
    TempDir dir_;
};

// Heads of 8 dimensions, 32 channels, two heads a KV group; llama keeps its rotary layout in deci.
TEST_F(Compress, KeepsExactlyTheRowsAndColumnsOfTheHeadsThatStay) {
    const Path model = source();
    const Recipe recipe = recipe_for(model, {.kept_heads = {{1, 2}, {2, 3}}});
    run({.model = model, .output = dir_ / "out.gguf"}, recipe);

    const auto expect_rows = [&](const std::string& name, const std::vector<int>& heads, std::int64_t cols) {
        const auto all = values_of(model, name), got = values_of(dir_ / "out.gguf", name);
        std::vector<float> expected;
        for (const int head : heads)
            expected.insert(expected.end(), all.begin() + head * 8 * cols, all.begin() + (head + 1) * 8 * cols);
        EXPECT_EQ(got, expected) << name;
    };
    const auto expect_columns = [&](const std::string& name, const std::vector<int>& heads) {
        const auto all = values_of(model, name), got = values_of(dir_ / "out.gguf", name);
        std::vector<float> expected;
        for (int row = 0; row < 32; ++row)
            for (const int head : heads)
                for (int i = 0; i < 8; ++i) expected.push_back(all[static_cast<std::size_t>(row * 32 + head * 8 + i)]);
        EXPECT_EQ(got, expected) << name;
    };
    expect_rows("blk.0.attn_q.weight", {1, 2}, 32);
    expect_rows("blk.0.attn_k.weight", {0, 1}, 32);
    expect_rows("blk.0.attn_v.weight", {0, 1}, 32);
    expect_columns("blk.0.attn_output.weight", {1, 2});
    expect_rows("blk.1.attn_q.weight", {2, 3}, 32);
    expect_rows("blk.1.attn_k.weight", {1}, 32);
    expect_rows("blk.1.attn_v.weight", {1}, 32);
    expect_columns("blk.1.attn_output.weight", {2, 3});
    for (const char* whole :
         {"token_embd.weight", "output_norm.weight", "blk.0.ffn_down.weight", "blk.1.ffn_norm.weight"})
        EXPECT_EQ(values_of(dir_ / "out.gguf", whole), values_of(model, whole)) << whole;
}

TEST_F(Compress, KeepsExactlyTheChannelsThatStay) {
    const Path model = source();  // 48 channels
    const std::vector<std::int32_t> kept{0, 3, 4, 47};
    run({.model = model, .output = dir_ / "out.gguf"}, recipe_for(model, {.kept_channels = {test::up_to(48), kept}}));
    for (const char* name : {"blk.1.ffn_gate.weight", "blk.1.ffn_up.weight"}) {
        const auto all = values_of(model, name);
        std::vector<float> expected;
        for (const std::int32_t row : kept)
            expected.insert(expected.end(), all.begin() + row * 32, all.begin() + (row + 1) * 32);
        EXPECT_EQ(values_of(dir_ / "out.gguf", name), expected) << name;
    }
    const auto all = values_of(model, "blk.1.ffn_down.weight");
    std::vector<float> expected;
    for (int row = 0; row < 32; ++row)
        for (const std::int32_t col : kept) expected.push_back(all[static_cast<std::size_t>(row * 48 + col)]);
    EXPECT_EQ(values_of(dir_ / "out.gguf", "blk.1.ffn_down.weight"), expected);
    for (const char* whole : {"blk.0.ffn_down.weight", "blk.0.ffn_up.weight", "blk.1.attn_output.weight"})
        EXPECT_EQ(values_of(dir_ / "out.gguf", whole), values_of(model, whole)) << whole;
}

// qwen2 in deci: rows of q and k change from [2, d/2] to [d/2, 2] within each head, biases alike, v stays.
TEST_F(Compress, MovesQueriesKeysAndTheirBiasesToTheOtherRotaryLayout) {
    const Path model = source({.architecture = "qwen2"});
    run({.model = model, .output = dir_ / "out.gguf"}, recipe_for(model, {.kept_heads = {{2, 3}, {0, 1, 2, 3}}}));

    const auto expect_interleaved = [&](const std::string& name, int first_head, int n_heads, int width) {
        const auto all = values_of(model, name), got = values_of(dir_ / "out.gguf", name);
        std::vector<float> expected;
        for (int head = first_head; head < first_head + n_heads; ++head)
            for (int pair = 0; pair < 4; ++pair)
                for (const int row : {head * 8 + pair, head * 8 + pair + 4})
                    expected.insert(expected.end(), all.begin() + row * width, all.begin() + (row + 1) * width);
        EXPECT_EQ(got, expected) << name;
    };
    expect_interleaved("blk.0.attn_q.weight", 2, 2, 32);
    expect_interleaved("blk.0.attn_q.bias", 2, 2, 1);
    expect_interleaved("blk.0.attn_k.weight", 1, 1, 32);
    expect_interleaved("blk.0.attn_k.bias", 1, 1, 1);
    expect_interleaved("blk.1.attn_q.weight", 0, 4, 32);
    expect_interleaved("blk.1.attn_k.bias", 0, 2, 1);
    const auto value_bias = values_of(model, "blk.0.attn_v.bias");
    EXPECT_EQ(values_of(dir_ / "out.gguf", "blk.0.attn_v.bias"),
              std::vector<float>(value_bias.begin() + 8, value_bias.end()));
}

TEST_F(Compress, WritesWhatTheNaiveWriterWritesWhateverTheThreads) {
    const Path model = source({.n_layer = 3, .n_embd = 64, .n_head = 4, .head_dim = 16, .n_ff = 96, .tied = false});
    for (const ggml_type type : {GGML_TYPE_Q4_0, GGML_TYPE_Q8_0, GGML_TYPE_F16, GGML_TYPE_IQ4_NL}) {
        const Recipe recipe = recipe_for(model, {.kept_heads = {{0, 1, 2, 3}, {2, 3}, {0, 3}},
                                                 .kept_channels = {test::up_to(64), test::up_to(96), test::up_to(32)},
                                                 .type = type,
                                                 .embedding_type = GGML_TYPE_Q8_0});
        test::write_naively(*open_model(model), recipe, dir_ / "naive.gguf");
        for (const int threads : {1, 2, 5, 2}) {
            const auto result =
                run({.model = model, .output = dir_ / "out.gguf", .overwrite = true, .threads = threads}, recipe);
            EXPECT_EQ(test::read_bytes(dir_ / "out.gguf"), test::read_bytes(dir_ / "naive.gguf"))
                << ggml_type_name(type) << threads;
            EXPECT_EQ(result.file_bytes, std::filesystem::file_size(dir_ / "out.gguf"));
            EXPECT_EQ(result.file_bytes, recipe.budget.file_bytes);
        }
    }
}

TEST_F(Compress, CopiesBlocksThatAlreadyHaveTheirType) {
    const Path model = source({.n_embd = 64, .head_dim = 16, .n_ff = 96, .matrix_type = GGML_TYPE_Q4_0});
    run({.model = model, .output = dir_ / "out.gguf"},
        recipe_for(model,
                   {.kept_heads = {{2, 3}, {0, 1, 2, 3}}, .type = GGML_TYPE_Q4_0, .embedding_type = GGML_TYPE_Q4_0}));
    const GgufReader in(model), out(dir_ / "out.gguf");
    const auto stored = [](const GgufReader& file, const std::string& name) {
        std::vector<std::byte> bytes(file.find(name)->bytes);
        file.read(*file.find(name), 0, bytes);
        return bytes;
    };
    for (const char* name : {"token_embd.weight", "blk.0.ffn_up.weight", "blk.1.attn_output.weight"})
        EXPECT_EQ(stored(out, name), stored(in, name)) << name;
    const auto all = stored(in, "blk.0.attn_q.weight"), kept = stored(out, "blk.0.attn_q.weight");
    EXPECT_TRUE(std::equal(kept.begin(), kept.end(), all.begin() + std::ssize(all) / 2)) << "rows are whole blocks";
}

TEST_F(Compress, WeighsByStatisticsOfTheChannelsThatStay) {
    const Path model = source();
    Statistics statistics;
    ChannelStatistics& channels = statistics.matrices["blk.0.attn_output.weight"];
    channels.count = 4;
    for (int i = 0; i < 32; ++i) channels.sum_of_squares.push_back(i);
    const auto opened = open_model(model);
    OutputTensor tensor;
    tensor.source = opened->find({TensorRole::kAttentionOutput, 0});
    tensor.cols = {8, 9, 31};
    EXPECT_EQ(importance_of(tensor, &statistics), (std::vector<float>{2.0f, 2.25f, 7.75f}));
    EXPECT_TRUE(importance_of(tensor, nullptr).empty());

    channels.sum_of_squares.pop_back();
    const std::string message = error_of([&] { importance_of(tensor, &statistics); }, ErrorKind::kMalformed);
    EXPECT_NE(message.find("blk.0.attn_output.weight have 31 channels; expected 32"), std::string::npos) << message;
}

TEST_F(Compress, StatisticsChangeTheBlocks) {
    const Path model = source({.n_embd = 64, .head_dim = 16, .n_ff = 96});
    test::write_skewed_statistics(dir_ / "stats.gguf");

    const Recipe recipe = recipe_for(model, {.type = GGML_TYPE_Q4_0, .embedding_type = GGML_TYPE_Q8_0});
    run({.model = model, .output = dir_ / "plain.gguf"}, recipe);
    run({.model = model, .output = dir_ / "weighted.gguf", .statistics = dir_ / "stats.gguf"}, recipe);
    EXPECT_NE(test::read_bytes(dir_ / "plain.gguf"), test::read_bytes(dir_ / "weighted.gguf"));
    EXPECT_EQ(std::filesystem::file_size(dir_ / "plain.gguf"), std::filesystem::file_size(dir_ / "weighted.gguf"));
}

TEST_F(Compress, DryRunSaysTheSizeAndWritesNothing) {
    const Path model = source();
    const Recipe recipe = recipe_for(model);
    const auto before = entries_of(dir_.path());
    const auto result = run({.model = model, .output = dir_ / "out.gguf", .dry_run = true}, recipe);
    EXPECT_EQ(entries_of(dir_.path()), before);
    run({.model = model, .output = dir_ / "out.gguf"}, recipe);
    EXPECT_EQ(result.file_bytes, std::filesystem::file_size(dir_ / "out.gguf"));
    EXPECT_EQ(result.source_bytes, std::filesystem::file_size(model));
}

TEST_F(Compress, SaysWhatWentInAndWhatCameOutByTheirSha256) {
    const Path model = source();
    const CompressResult result = run({.model = model, .output = dir_ / "out.gguf"}, recipe_for(model));
    EXPECT_EQ(result.sha256, sha256_of_file(dir_ / "out.gguf"));
    ASSERT_EQ(result.sources.size(), 1u);
    EXPECT_EQ(result.sources[0].name, "in.gguf");
    EXPECT_EQ(result.sources[0].sha256, sha256_of_file(model));
    const GgufReader file(dir_ / "out.gguf");
    EXPECT_EQ(*file.metadata().array<std::string>("continuum.source_sha256"),
              (std::vector<std::string>{sha256_of_file(model)}));

    const CompressResult dry = run({.model = model, .output = dir_ / "dry.gguf", .dry_run = true}, recipe_for(model));
    EXPECT_TRUE(dry.sources.empty());
    EXPECT_EQ(dry.sha256, "");
}

TEST_F(Compress, NamesTheSha256OfEveryShard) {
    export_hf(*open_model(source()), {.folder = dir_ / "hf", .dtype = "f32", .shard_bytes = 40'000},
              *make_progress(ProgressStyle::kQuiet));
    const auto folder = open_model(dir_ / "hf");
    ASSERT_GT(folder->files().size(), 2u);
    const CompressResult result = run({.model = dir_ / "hf", .output = dir_ / "out.gguf"}, recipe_for(dir_ / "hf"));
    ASSERT_EQ(result.sources.size(), folder->files().size());
    std::vector<std::string> expected;
    for (std::size_t i = 0; i < result.sources.size(); ++i) {
        const Path& path = folder->files()[i].path;
        EXPECT_EQ(result.sources[i].name, path.filename());
        EXPECT_EQ(result.sources[i].sha256, expected.emplace_back(sha256_of_file(path)));
    }
    EXPECT_EQ(*GgufReader(dir_ / "out.gguf").metadata().array<std::string>("continuum.source_sha256"), expected);
}

/// A file that was moved is the same input.
TEST_F(Compress, GivesTheSameBytesWhateverItsSourceIsCalled) {
    const Path model = source();
    const Recipe recipe = recipe_for(model);
    run({.model = model, .output = dir_ / "out.gguf"}, recipe);
    std::filesystem::rename(model, dir_ / "a_longer_name_than_it_had_before.gguf");
    run({.model = dir_ / "a_longer_name_than_it_had_before.gguf", .output = dir_ / "again.gguf"}, recipe);
    EXPECT_TRUE(test::read_bytes(dir_ / "out.gguf") == test::read_bytes(dir_ / "again.gguf"));
}

TEST_F(Compress, LeavesTheTokenizerOutWhenAsked) {
    const Path model = source();
    run({.model = model, .output = dir_ / "out.gguf", .with_tokenizer = false}, recipe_for(model));
    EXPECT_FALSE(GgufReader(dir_ / "out.gguf").metadata().contains("tokenizer.ggml.tokens"));
}

TEST_F(Compress, NeverWritesOntoAnInputHoweverItIsSpelt) {
    const Path model = source();
    const std::string before = test::read_bytes(model);
    std::filesystem::create_symlink(model, dir_ / "link.gguf");
    std::filesystem::create_hard_link(model, dir_ / "hard.gguf");
    for (const Path& output : {model, dir_ / "link.gguf", dir_ / "hard.gguf", dir_ / "." / "in.gguf"})
        for (const bool dry_run : {false, true})
            error_of(
                [&] {
                    run({.model = model, .output = output, .dry_run = dry_run, .overwrite = true}, recipe_for(model));
                },
                ErrorKind::kUsage);
    EXPECT_EQ(test::read_bytes(model), before);
}

TEST_F(Compress, NeverReplacesUnasked) {
    const Path model = source();
    std::ofstream(dir_ / "out.gguf") << "mine";
    error_of([&] { run({.model = model, .output = dir_ / "out.gguf"}, recipe_for(model)); }, ErrorKind::kUsage);
    EXPECT_EQ(test::read_bytes(dir_ / "out.gguf"), "mine");
    run({.model = model, .output = dir_ / "out.gguf", .overwrite = true}, recipe_for(model));
    EXPECT_NO_THROW(open_model(dir_ / "out.gguf"));
}

TEST_F(Compress, StopsAtWeightsThatAreNotFiniteAndLeavesNothing) {
    const Path model = source({.n_ff = 64});
    const Recipe recipe = recipe_for(model, {.type = GGML_TYPE_Q4_0});
    const std::uint64_t at = GgufReader(model).find("blk.1.attn_k.weight")->offset + (3 * 32 + 7) * sizeof(float);
    const float bad = std::nanf("");
    std::fstream(model, std::ios::in | std::ios::out | std::ios::binary)
        .seekp(static_cast<std::streamoff>(at))
        .write(reinterpret_cast<const char*>(&bad), sizeof bad);
    const auto before = entries_of(dir_.path());
    for (const Recipe& each : {recipe, recipe_for(model)})  // quantised, and copied as it is
        for (const int threads : {1, 3}) {
            const std::string message =
                error_of([&] { run({.model = model, .output = dir_ / "out.gguf", .threads = threads}, each); },
                         ErrorKind::kMalformed);
            EXPECT_NE(message.find("blk.1.attn_k.weight at row 3, column 7"), std::string::npos) << message;
        }
    EXPECT_EQ(entries_of(dir_.path()), before);
}

TEST_F(Compress, StopsAtASignalAndLeavesNothing) {
    const Path model = source();
    const Recipe recipe = recipe_for(model);
    const auto before = entries_of(dir_.path());
    const auto interrupted = [&] {
        install_signal_handlers();
        std::raise(SIGTERM);
        try {
            run({.model = model, .output = dir_ / "out.gguf"}, recipe);
        } catch (const Interrupted& stop) {
            std::exit(stop.exit_code());
        }
    };
    EXPECT_EXIT(interrupted(), testing::ExitedWithCode(143), "");
    EXPECT_EQ(entries_of(dir_.path()), before);
}

TEST_F(Compress, RefusesAnotherModelsRecipeBeforeWriting) {
    const Path model = source();
    const Recipe other = recipe_for(test::write_tiny_gguf(dir_ / "other.gguf", {.n_layer = 3}));
    const auto before = entries_of(dir_.path());
    error_of([&] { run({.model = model, .output = dir_ / "out.gguf"}, other); }, ErrorKind::kMalformed);
    error_of([&] { run({.model = dir_ / "absent.gguf", .output = dir_ / "out.gguf"}, other); }, ErrorKind::kMissing);
    EXPECT_EQ(entries_of(dir_.path()), before);
}

}  // namespace
}  // namespace plasticity
