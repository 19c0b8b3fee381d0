#include "plan/kept_damages.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/error.h"
#include "plan/curvature_support.h"
#include "support/file_content.h"

namespace plasticity {
namespace {

class KeptDamagesFile : public testing::Test {
protected:
    KeptDamages kept(const std::string& made_from = "a model") const { return {file_, made_from, test::quiet()}; }

    test::TempDir dir_;
    std::filesystem::path file_ = dir_ / "damages.json";
    ModelTensor query_{.name = "blk.0.attn_q.weight"}, key_{.name = "blk.0.attn_k.weight"};
    std::vector<DamageQuestion> questions_{{&query_, {GGML_TYPE_Q4_K, GGML_TYPE_IQ4_NL}}, {&key_, {GGML_TYPE_Q8_0}}};
};

TEST_F(KeptDamagesFile, AsksOnlyForWhatIsNotKnown) {
    EXPECT_EQ(kept().open(questions_).size(), 2u);
    DamageTable measured;
    measured.set(query_.name, GGML_TYPE_Q4_K, 1.0 / 3);
    measured.set(key_.name, GGML_TYPE_Q8_0, 0);
    kept().add(measured);

    KeptDamages again = kept();
    const std::vector<DamageQuestion> open = again.open(questions_);
    ASSERT_EQ(open.size(), 1u);
    EXPECT_EQ(open[0].matrix, &query_);
    EXPECT_EQ(open[0].types, (std::vector<ggml_type>{GGML_TYPE_IQ4_NL}));

    DamageTable rest;
    rest.set(query_.name, GGML_TYPE_IQ4_NL, 0.25);
    again.add(rest);
    EXPECT_TRUE(kept().open(questions_).empty());
    EXPECT_EQ(kept().answers(questions_).of(query_.name, GGML_TYPE_Q4_K), 1.0 / 3) << "to the last bit";
}

TEST_F(KeptDamagesFile, AnswersNothingThatWasNotAsked) {
    DamageTable measured;
    measured.set(query_.name, GGML_TYPE_Q4_K, 0.5);
    measured.set(query_.name, GGML_TYPE_Q2_K, 0.75);
    kept().add(measured);
    const DamageTable answers = kept().answers({{&query_, {GGML_TYPE_Q4_K}}});
    EXPECT_EQ(answers.types_of(query_.name), (std::vector<ggml_type>{GGML_TYPE_Q4_K}));
}

TEST_F(KeptDamagesFile, ForgetsThoseOfAnotherModel) {
    DamageTable measured;
    measured.set(query_.name, GGML_TYPE_Q4_K, 0.5);
    kept().add(measured);
    EXPECT_EQ(kept("another model").open({{&query_, {GGML_TYPE_Q4_K}}}).size(), 1u);
}

TEST_F(KeptDamagesFile, RefusesFilesOfAnythingElseAndLeavesThem) {
    for (const char* text : {"{}", "precious", R"({"schemaVersion": 1, "madeFrom": "x", "damages": []})",
                             R"({"schemaVersion": 2, "madeFrom": "x", "damages": {}})"}) {
        std::ofstream(file_, std::ios::trunc) << text;
        EXPECT_THROW(kept(), Error) << text;
        EXPECT_EQ(test::read_bytes(file_), text);
    }
}

TEST_F(KeptDamagesFile, RefusesNegativeDamagesAndUnknownTypes) {
    DamageTable measured;
    measured.set(query_.name, GGML_TYPE_Q4_K, 0.5);
    kept().add(measured);
    const std::string good = test::read_bytes(file_);
    for (const auto& [from, to] : {std::pair{"0.5", "-0.5"}, {"q4_K", "q4_X"}}) {
        std::string bad = good;
        bad.replace(bad.find(from), std::string_view(from).size(), to);
        std::ofstream(file_, std::ios::trunc) << bad;
        EXPECT_THROW(kept(), Error) << bad;
    }
}

}  // namespace
}  // namespace plasticity
