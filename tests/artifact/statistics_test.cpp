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

Statistics sample_statistics() {
    Statistics statistics;
    statistics.matrices["blk.0.attn_q.weight"] = {{1, 0.5, 0}, 1024};
    statistics.matrices["blk.0.ffn_down.weight"] = {{2, 4}, 1024};
    statistics.datasets = {"a.txt"};
    statistics.chunk_size = 256;
    statistics.chunk_count = 4;
    return statistics;
}

/// A file as llama-imatrix would write it, spoilt by `change`.
struct RawStatistics {
    std::string type = "imatrix";
    std::string sums_name = "blk.0.attn_q.weight.in_sum2";
    std::vector<float> sums{1, 2};
    std::vector<float> counts{512};
    bool with_counts = true;
};

void write_raw_statistics(const RawStatistics& raw, const std::filesystem::path& path) {
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
    save_statistics(sample_statistics(), dir / "s.gguf", Overwrite::kRefuse);
    const Statistics loaded = load_statistics(dir / "s.gguf");
    EXPECT_EQ(loaded.datasets, sample_statistics().datasets);
    EXPECT_EQ(loaded.chunk_size, 256);
    EXPECT_EQ(loaded.chunk_count, 4);
    ASSERT_EQ(loaded.matrices.size(), 2u);
    EXPECT_EQ(loaded.find("blk.0.attn_q.weight")->sum_of_squares, (std::vector<double>{1, 0.5, 0}));
    EXPECT_EQ(loaded.find("blk.0.attn_q.weight")->count, 1024);
    EXPECT_EQ(loaded.find("blk.1.attn_q.weight"), nullptr);
}

TEST(Statistics, StandUnderTheEmbeddingWhereItIsTheOutputToo) {
    const TempDir dir;
    Statistics statistics = sample_statistics();
    statistics.matrices["output.weight"] = {{2, 3}, 512};
    statistics.curvature["output.weight"] = {{1}, {5, 6}, {}, 511};
    save_statistics(statistics, dir / "s.gguf", Overwrite::kRefuse);
    Architecture architecture;
    EXPECT_EQ(load_statistics(dir / "s.gguf", architecture).find("token_embd.weight"), nullptr);

    architecture.tied_embeddings = true;
    const Statistics tied = load_statistics(dir / "s.gguf", architecture);
    ASSERT_NE(tied.find("token_embd.weight"), nullptr);
    EXPECT_EQ(tied.find("token_embd.weight")->sum_of_squares, (std::vector<double>{2, 3}));
    EXPECT_EQ(tied.find_curvature("token_embd.weight")->columns, (std::vector<double>{5, 6}));
    EXPECT_EQ(tied.find("output.weight"), nullptr);
    EXPECT_EQ(tied.find_curvature("output.weight"), nullptr);

    statistics.matrices["token_embd.weight"] = {{7, 8}, 512};
    save_statistics(statistics, dir / "both.gguf", Overwrite::kRefuse);
    EXPECT_EQ(load_statistics(dir / "both.gguf", architecture).find("token_embd.weight")->sum_of_squares,
              (std::vector<double>{7, 8}));
}

TEST(Statistics, ReadsCurvatureBackToTheLastBit) {
    const TempDir dir;
    Statistics statistics = sample_statistics();
    statistics.curvature["blk.0.attn_output.weight"] = {{1.0 / 3, 0, 1e-300}, {2.5, 7}, {0.1, 0.2}, 1023};
    statistics.curvature[lookup_key("token_embd.weight")] = {{4}, {1, 3}, {}, 1023};
    save_statistics(statistics, dir / "s.gguf", Overwrite::kRefuse);
    const Statistics loaded = load_statistics(dir / "s.gguf");
    EXPECT_EQ(loaded.matrices.size(), 2u);
    ASSERT_EQ(loaded.curvature.size(), 2u);
    for (const auto& [name, expected] : statistics.curvature) {
        const CurvatureStatistics* found = loaded.find_curvature(name);
        ASSERT_NE(found, nullptr) << name;
        EXPECT_EQ(found->rows, expected.rows);
        EXPECT_EQ(found->columns, expected.columns);
        EXPECT_EQ(found->gates, expected.gates);
        EXPECT_EQ(found->count, expected.count);
    }
}

Statistics of_a_slice() {
    Statistics statistics = sample_statistics();
    statistics.matrices["blk.0.attn_q.weight"] = {{1.0 / 3, 1e-60, 3e8 + 1}, (1 << 24) + 1};  // beyond 24 bits
    statistics.origin = StatisticsOrigin{
        .provenance = {"m", "t", "d", 256, "f16", "0.1.0", "a"}, .slice = {2, 3, 30}, .curvature_every = 4, .seed = 9};
    return statistics;
}

TEST(Statistics, OfASliceKeepSumsInDoubleAndWhereTheyCameFrom) {
    const TempDir dir;
    const Statistics saved = of_a_slice();
    save_statistics(saved, dir / "s.gguf", Overwrite::kRefuse);
    const Statistics loaded = load_statistics(dir / "s.gguf");
    ASSERT_TRUE(loaded.origin);
    EXPECT_EQ(loaded.origin->provenance, saved.origin->provenance);
    EXPECT_EQ(loaded.origin->slice, saved.origin->slice);
    EXPECT_EQ(loaded.origin->curvature_every, 4);
    EXPECT_EQ(loaded.origin->seed, 9u);
    for (const auto& [name, channels] : saved.matrices) {
        EXPECT_EQ(loaded.find(name)->sum_of_squares, channels.sum_of_squares) << name;
        EXPECT_EQ(loaded.find(name)->count, channels.count) << name;
    }
}

TEST(Statistics, RefusesSlicesThatContradictThemselves) {
    const auto problem_of = [](const Statistics& written, const std::string& name, std::vector<double> exact) {
        const TempDir dir;
        GgufLayout layout;
        layout.metadata.set("general.type", std::string("imatrix"));
        for (const auto& [key, value] : {std::pair{"score.slice.index", written.origin->slice.index},
                                         {"score.slice.count", written.origin->slice.count},
                                         {"score.slice.examples", 30},
                                         {"score.curvature_every", 4}})
            layout.metadata.set(key, static_cast<std::uint32_t>(value));
        layout.tensors = {{"blk.0.attn_q.weight.in_sum2", GGML_TYPE_F32, 2, {2, 1, 1, 1}},
                          {"blk.0.attn_q.weight.counts", GGML_TYPE_F32, 2, {1, 1, 1, 1}},
                          {name, GGML_TYPE_F64, 1, {static_cast<std::int64_t>(exact.size()), 1, 1, 1}}};
        GgufWriter file(dir / "s.gguf", layout, Overwrite::kRefuse);
        const std::vector<float> sums{1, 2}, count{512};
        file.write("blk.0.attn_q.weight.in_sum2", std::as_bytes(std::span(sums)));
        file.write("blk.0.attn_q.weight.counts", std::as_bytes(std::span(count)));
        file.write(name, std::as_bytes(std::span(exact)));
        file.finish();
        try {
            load_statistics(dir / "s.gguf");
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
            return std::string(error.what());
        }
        return std::string();
    };
    const std::string sums = "blk.0.attn_q.weight.in_sum2_f64", count = "blk.0.attn_q.weight.counts_f64";
    Statistics slice = of_a_slice();
    EXPECT_EQ(problem_of(slice, sums, {1 + 1e-9, 2}), "");
    EXPECT_NE(problem_of(slice, sums, {1, 2.1}).find("channel 1"), std::string::npos);
    EXPECT_NE(problem_of(slice, sums, {1, std::numeric_limits<double>::quiet_NaN()}).find("channel 1"),
              std::string::npos);
    EXPECT_NE(problem_of(slice, sums, {1}).find("expected 2 f64"), std::string::npos);
    EXPECT_NE(problem_of(slice, count, {513}).find("513"), std::string::npos);
    EXPECT_NE(problem_of(slice, "blk.7.attn_q.weight.in_sum2_f64", {1}).find("blk.7"), std::string::npos);
    slice.origin->slice.index = 4;
    EXPECT_NE(problem_of(slice, sums, {1, 2}).find("score.slice.index 4"), std::string::npos);
}

TEST(Statistics, RefusesUnsoundCurvature) {
    const TempDir dir;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (const CurvatureStatistics& bad :
         {CurvatureStatistics{{1, nan}, {1}, {}, 1}, CurvatureStatistics{{1}, {-1}, {}, 1},
          CurvatureStatistics{{1}, {1}, {nan}, 1}, CurvatureStatistics{{}, {1}, {}, 1},
          CurvatureStatistics{{1}, {1}, {}, -1}}) {
        Statistics statistics = sample_statistics();
        statistics.curvature["blk.0.attn_q.weight"] = bad;
        EXPECT_THROW(save_statistics(statistics, dir / "s.gguf", Overwrite::kReplace), Error);
    }
}

/// Curvature tensors beside sound sums, spoilt in ways that only a reader meets.
TEST(Statistics, RefusesDamagedCurvatureTensors) {
    struct Damage {
        std::string suffix;
        ggml_type type;
        std::vector<double> values;
    };
    const TempDir dir;
    for (const Damage& damage :
         {Damage{".out_grad2", GGML_TYPE_F32, {1, 2}}, Damage{".grad2_count", GGML_TYPE_F64, {0.5}},
          Damage{".grad2_count", GGML_TYPE_F64, {1, 2}}, Damage{".in_grad2", GGML_TYPE_F64, {1}}}) {
        GgufLayout layout;
        layout.metadata.set("general.type", std::string("imatrix"));
        const std::string name = "blk.0.attn_q.weight";
        const auto bytes = std::as_bytes(std::span(damage.values));
        const auto n = static_cast<std::int64_t>(bytes.size() / ggml_type_size(damage.type));
        layout.tensors = {{name + ".in_sum2", GGML_TYPE_F32, 1, {1, 1, 1, 1}},
                          {name + ".counts", GGML_TYPE_F32, 1, {1, 1, 1, 1}},
                          {name + damage.suffix, damage.type, 1, {n, 1, 1, 1}}};
        GgufWriter file(dir / "s.gguf", layout, Overwrite::kReplace);
        const float one = 1;
        for (const char* suffix : {".in_sum2", ".counts"}) file.write(name + suffix, std::as_bytes(std::span(&one, 1)));
        file.write(name + damage.suffix, bytes);
        file.finish();
        EXPECT_THROW(load_statistics(dir / "s.gguf"), Error) << damage.suffix;
    }
}

TEST(Statistics, ReadsFilesWithoutChunkKeys) {
    const TempDir dir;
    write_raw_statistics({}, dir / "s.gguf");
    EXPECT_EQ(load_statistics(dir / "s.gguf").find("blk.0.attn_q.weight")->count, 512);
}

TEST(Statistics, RefusesEveryKindOfDamage) {
    const TempDir dir;
    const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    const RawStatistics cases[] = {
        {.type = "model"},      {.sums_name = "blk.0.attn_q.weight.other"},
        {.sums = {1, nan}},     {.sums = {1, inf}},
        {.sums = {1, -1}},      {.counts = {1.5}},
        {.counts = {-1}},       {.counts = {nan}},
        {.counts = {512, 512}}, {.with_counts = false},
    };
    for (const RawStatistics& raw : cases) {
        write_raw_statistics(raw, dir / "s.gguf");
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
    Statistics bad = sample_statistics();
    bad.matrices["blk.0.attn_q.weight"].sum_of_squares[1] = 1e300;  // beyond float
    EXPECT_THROW(save_statistics(bad, dir / "s.gguf", Overwrite::kRefuse), Error);
    EXPECT_THROW(save_statistics({}, dir / "s.gguf", Overwrite::kRefuse), Error);
    EXPECT_FALSE(std::filesystem::exists(dir / "s.gguf"));
}

}  // namespace
}  // namespace plasticity
