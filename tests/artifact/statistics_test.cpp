#include "artifact/statistics.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <optional>

#include "core/error.h"
#include "io/gguf_writer.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

using test::TempDir;

Statistics sample() {
    Statistics statistics;
    statistics.matrices["blk.0.attn_q.weight"] = {{1, 0.5, 0}, 1024};
    statistics.matrices["blk.0.ffn_down.weight"] = {{2, 4}, 1024};
    statistics.datasets = {"a.txt"};
    statistics.chunk_size = 256;
    statistics.chunk_count = 4;
    return statistics;
}

/// A file as llama-imatrix would write it, spoilt by `change`.
struct RawFile {
    std::string type = "imatrix";
    std::string sums_name = "blk.0.attn_q.weight.in_sum2";
    std::vector<float> sums{1, 2};
    std::vector<float> counts{512};
    bool with_counts = true;
};

void write_raw(const RawFile& raw, const std::filesystem::path& path) {
    GgufLayout layout;
    layout.metadata.set("general.type", raw.type);
    layout.tensors = {{raw.sums_name, GGML_TYPE_F32, 2, {static_cast<std::int64_t>(raw.sums.size()), 1, 1, 1}}};
    if (raw.with_counts)
        layout.tensors.push_back(
            {"blk.0.attn_q.weight.counts", GGML_TYPE_F32, 2, {1, static_cast<std::int64_t>(raw.counts.size()), 1, 1}});
    const GgufLayout specs = layout;
    GgufWriter file(path, layout, Overwrite::kReplace);
    file.write(specs.tensors[0].name, std::as_bytes(std::span(raw.sums)));
    if (raw.with_counts) file.write(specs.tensors[1].name, std::as_bytes(std::span(raw.counts)));
    file.finish();
}

TEST(Statistics, ReadsBackWhatItWrote) {
    const TempDir dir;
    save_statistics(sample(), dir / "s.gguf", Overwrite::kRefuse);
    const Statistics loaded = load_statistics(dir / "s.gguf");
    EXPECT_EQ(loaded.datasets, sample().datasets);
    EXPECT_EQ(loaded.chunk_size, 256);
    EXPECT_EQ(loaded.chunk_count, 4);
    ASSERT_EQ(loaded.matrices.size(), 2u);
    EXPECT_EQ(loaded.find("blk.0.attn_q.weight")->sum_of_squares, (std::vector<double>{1, 0.5, 0}));
    EXPECT_EQ(loaded.find("blk.0.attn_q.weight")->count, 1024);
    EXPECT_EQ(loaded.find("blk.1.attn_q.weight"), nullptr);
}

TEST(Statistics, ReadsFilesWithoutChunkKeys) {
    const TempDir dir;
    write_raw({}, dir / "s.gguf");
    EXPECT_EQ(load_statistics(dir / "s.gguf").find("blk.0.attn_q.weight")->count, 512);
}

TEST(Statistics, RefusesEveryKindOfDamage) {
    const TempDir dir;
    const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    const RawFile cases[] = {
        {.type = "model"},      {.sums_name = "blk.0.attn_q.weight.other"},
        {.sums = {1, nan}},     {.sums = {1, inf}},
        {.sums = {1, -1}},      {.counts = {1.5}},
        {.counts = {-1}},       {.counts = {nan}},
        {.counts = {512, 512}}, {.with_counts = false},
    };
    for (const RawFile& raw : cases) {
        write_raw(raw, dir / "s.gguf");
        try {
            load_statistics(dir / "s.gguf");
            ADD_FAILURE() << raw.type << raw.sums_name;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kMalformed) << error.what();
        }
    }
}

TEST(Statistics, RefusesToSaveWhatItWouldNotLoad) {
    const TempDir dir;
    Statistics bad = sample();
    bad.matrices["blk.0.attn_q.weight"].sum_of_squares[1] = 1e300;  // beyond float
    EXPECT_THROW(save_statistics(bad, dir / "s.gguf", Overwrite::kRefuse), Error);
    EXPECT_THROW(save_statistics({}, dir / "s.gguf", Overwrite::kRefuse), Error);
    EXPECT_FALSE(std::filesystem::exists(dir / "s.gguf"));
}

}  // namespace
}  // namespace plasticity
