#include "artifact/gate_gradients.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "io/atomic_file.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

using test::TempDir;

GateGradients sample() {
    GateGradients gradients;
    gradients.model_name = "tiny";
    gradients.num_heads = 4;
    gradients.num_kv_heads = 2;
    gradients.num_steps = 10;
    gradients.num_tokens = 5110;
    gradients.mean_loss = 1.25;
    gradients.absolute_sums = {{0.1, 1.0 / 3, 2, 4}, {}, {1, 0.5}};
    gradients.signed_sums = {{-0.1, 0.2, -2, 4}, {}, {0, 0.5}};
    gradients.moving_averages = {{0.01, 0.02, 0.3, 0.4}, {}, {0.1, 0.05}};
    gradients.layer_kv_heads = {2, 0, 1};
    gradients.provenance = {"m", "t", "d", 256, "f16", "0.1.0"};
    return gradients;
}

std::string problem_of(const std::filesystem::path& path) {
    try {
        load_gate_gradients(path);
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMalformed) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "went through";
    return "";
}

TEST(LayerScores, DivideMeansByTheirPercentileAndClip) {
    GateGradients gradients;
    gradients.num_steps = 2;
    gradients.absolute_sums.resize(1);
    for (int head = 0; head <= 100; ++head) gradients.absolute_sums[0].push_back(2.0 * head);  // means 0 … 100
    const auto scores = gradients.layer_scores();
    EXPECT_DOUBLE_EQ(scores[0][0], 0);
    EXPECT_DOUBLE_EQ(scores[0][33], 33.0 / 99);  // the 99th percentile of 0 … 100 is 99
    EXPECT_DOUBLE_EQ(scores[0][99], 1);
    EXPECT_DOUBLE_EQ(scores[0][100], 1);
}

TEST(LayerScores, InterpolateThePercentile) {
    GateGradients gradients;
    gradients.num_steps = 1;
    gradients.absolute_sums = {{1, 3}};
    EXPECT_DOUBLE_EQ(gradients.layer_scores()[0][0], 1 / 2.98);
}

TEST(LayerScores, AreDefinedWithoutAnyGradient) {
    GateGradients gradients;
    gradients.num_steps = 1;
    gradients.absolute_sums = {{0, 0}};
    EXPECT_EQ(gradients.layer_scores(), gradients.absolute_sums);
}

TEST(GateGradientsFile, ReadsBackTheSameDoubles) {
    const TempDir dir;
    const GateGradients saved = sample();
    save_gate_gradients(saved, dir / "g.json", Overwrite::kRefuse);
    const GateGradients loaded = load_gate_gradients(dir / "g.json");
    EXPECT_EQ(loaded.absolute_sums, saved.absolute_sums);
    EXPECT_EQ(loaded.signed_sums, saved.signed_sums);
    EXPECT_EQ(loaded.moving_averages, saved.moving_averages);
    EXPECT_EQ(loaded.layer_kv_heads, saved.layer_kv_heads);
    EXPECT_EQ(loaded.provenance, saved.provenance);
    EXPECT_EQ(loaded.num_tokens, 5110);
    EXPECT_EQ(loaded.mean_loss, 1.25);
    save_gate_gradients(loaded, dir / "again.json", Overwrite::kRefuse);
    EXPECT_EQ(read_text_file(dir / "again.json"), read_text_file(dir / "g.json"));
}

TEST(GateGradientsFile, AcceptsAnotherTrainersFiveFields) {
    const TempDir dir;
    write_text_file(dir / "g.json",
                    R"({"layer_scores": [[0.5, 1], [0.25, 0]], "num_steps": 4, "model_name": "m", "num_heads": 2,
                        "num_kv_heads": 1})",
                    Overwrite::kRefuse);
    const GateGradients loaded = load_gate_gradients(dir / "g.json");
    EXPECT_EQ(loaded.absolute_sums, (std::vector<std::vector<double>>{{2, 4}, {1, 0}}));
    EXPECT_EQ(loaded.layer_kv_heads, (std::vector<std::int32_t>{1, 1}));
}

TEST(GateGradientsFile, RefusesEveryKindOfDamage) {
    const TempDir dir;
    save_gate_gradients(sample(), dir / "good.json", Overwrite::kRefuse);
    const std::string good = read_text_file(dir / "good.json");
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string bad = good;
        const auto at = bad.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        bad.replace(at, from.size(), to);
        write_text_file(dir / "bad.json", bad, Overwrite::kReplace);
        return problem_of(dir / "bad.json");
    };
    EXPECT_NE(with("\"num_tokens\"", "\"tokens\"").find("num_tokens"), std::string::npos);
    EXPECT_NE(with("\"model_name\"", "\"extra\": 1, \"model_name\"").find("extra"), std::string::npos);
    EXPECT_NE(with("\"schema_version\": 1", "\"schema_version\": 2").find("newer"), std::string::npos);
    EXPECT_NE(with("[-0.1, 0.2, -2.0, 4.0]", "[-0.1, 0.2, -2.0]").find("signed_sums"), std::string::npos);
    with("\"num_steps\": 10", "\"num_steps\": 0");
    with("\"num_steps\": 10", "\"num_steps\": 1e400");
    with("\"num_heads\": 4", "\"num_heads\": 5");
    with("\"layer_kv_heads\": [2, 0, 1]", "\"layer_kv_heads\": [2, 1, 1]");
    with("\"layer_kv_heads\": [2, 0, 1]", "\"layer_kv_heads\": [3, 0, 1]");
    with("\"mean_loss\": 1.25", "\"mean_loss\": NaN");
    with("\"mean_loss\": 1.25", "\"mean_loss\": null");
    // A sum edited without its score, a negative one, and one that is there twice.
    const auto sums = good.find("\"absolute_sums\"");
    for (const std::string value : {"3", "-2", "null", "\"2\""}) {
        std::string bad = good;
        bad.replace(bad.find(", 2.0, 4.0]", sums), 11, ", " + value + ", 4.0]");
        write_text_file(dir / "bad.json", bad, Overwrite::kReplace);
        problem_of(dir / "bad.json");
    }
    write_text_file(dir / "bad.json", good.substr(0, good.size() / 2), Overwrite::kReplace);
    problem_of(dir / "bad.json");
}

TEST(GateGradientsFile, NamesEveryProblemAtOnce) {
    const TempDir dir;
    save_gate_gradients(sample(), dir / "good.json", Overwrite::kRefuse);
    std::string bad = read_text_file(dir / "good.json");
    for (const auto& [from, to] : {std::pair{"\"num_steps\": 10", "\"num_steps\": -1"},
                                   {"\"mean_loss\"", "\"mean_gain\""},
                                   {"\"num_heads\": 4", "\"num_heads\": \"four\""}})
        bad.replace(bad.find(from), std::string_view(from).size(), to);
    write_text_file(dir / "bad.json", bad, Overwrite::kReplace);
    const std::string problem = problem_of(dir / "bad.json");
    for (const char* part : {"4 problems", "\"num_steps\" is -1", "\"mean_loss\" is missing",
                             "\"num_heads\" holds a string", "unknown keys \"mean_gain\""})
        EXPECT_NE(problem.find(part), std::string::npos) << part << "\n" << problem;
}

TEST(GateGradientsFile, RefusesForeignFilesThatAreRaggedOrNegative) {
    const TempDir dir;
    for (const char* scores : {"[[0.5, 1], [0.5]]", "[[0.5, -1]]", "[]", "[0.5, 1]", "[[0.5, 1, 1]]"}) {
        write_text_file(dir / "g.json",
                        std::string(R"({"num_steps": 4, "model_name": "m", "num_heads": 2, "num_kv_heads": 1,)") +
                            "\"layer_scores\": " + scores + "}",
                        Overwrite::kReplace);
        problem_of(dir / "g.json");
    }
}

TEST(GateGradientsFile, RefusesToSaveWhatItWouldNotLoad) {
    const TempDir dir;
    GateGradients bad = sample();
    bad.absolute_sums[0][0] = std::numeric_limits<double>::quiet_NaN();
    EXPECT_THROW(save_gate_gradients(bad, dir / "g.json", Overwrite::kRefuse), Error);
    EXPECT_FALSE(std::filesystem::exists(dir / "g.json"));
}

TEST(GateGradientsFile, MissingIsMissing) {
    const TempDir dir;
    try {
        load_gate_gradients(dir / "none.json");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMissing);
    }
}

TEST(GateGradientsFile, SaysWhatSliceItIsOf) {
    const TempDir dir;
    GateGradients saved = sample();
    saved.slice = GateSlice{.part = {.index = 2, .count = 3, .n_examples = 30}, .first_gradients = saved.absolute_sums};
    save_gate_gradients(saved, dir / "g.json", Overwrite::kRefuse);
    const GateGradients loaded = load_gate_gradients(dir / "g.json");
    ASSERT_TRUE(loaded.slice);
    EXPECT_EQ(loaded.slice->part, saved.slice->part);
    EXPECT_EQ(loaded.slice->first_gradients, saved.slice->first_gradients);

    saved.slice->part.n_examples = 31;  // the second of three would then hold ten of other bounds
    saved.num_steps = 11;
    try {
        save_gate_gradients(saved, dir / "bad.json", Overwrite::kRefuse);
        ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMalformed) << error.what();
    }
}

TEST(GateGradientsFile, KeepsHowAnAdapterWasTrained) {
    const TempDir dir;
    GateGradients saved = sample();
    saved.provenance.adapter_sha256 = "abc";
    saved.fine_tune = FineTuneRecord{.rank = 8,
                                     .alpha = 16,
                                     .targets = {"q_proj", "o_proj"},
                                     .epochs = 2,
                                     .batch = 4,
                                     .learning_rate = 1e-4,
                                     .warmup = 0.1,
                                     .dropout = 0.05,
                                     .shuffle = true,
                                     .holdout_every = 10,
                                     .seed = 7,
                                     .training_losses = {2.5, 1.0 / 3},
                                     .held_out_losses = {{.step = 0, .loss = 2.25}, {.step = 2, .loss = 2}}};
    save_gate_gradients(saved, dir / "g.json", Overwrite::kRefuse);
    const GateGradients loaded = load_gate_gradients(dir / "g.json");
    EXPECT_EQ(loaded.fine_tune, saved.fine_tune);
    EXPECT_EQ(loaded.provenance, saved.provenance);
}

}  // namespace
}  // namespace plasticity
