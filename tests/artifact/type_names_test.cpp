#include "artifact/type_names.h"

#include <gtest/gtest.h>

namespace plasticity {
namespace {

TEST(ParseWeightType, KnowsGgmlsNamesInAnyCaseAndLlamasMixes) {
    EXPECT_EQ(parse_weight_type("q4_K"), GGML_TYPE_Q4_K);
    EXPECT_EQ(parse_weight_type("Q3_K_S"), GGML_TYPE_Q3_K);
    EXPECT_EQ(parse_weight_type("q5_k_m"), GGML_TYPE_Q5_K);
    EXPECT_EQ(parse_weight_type("F16"), GGML_TYPE_F16);
    EXPECT_EQ(parse_weight_type("BF16"), GGML_TYPE_BF16);
    EXPECT_EQ(parse_weight_type("iq4_nl"), GGML_TYPE_IQ4_NL);
}

TEST(ParseWeightType, RefusesWhatHoldsNoWeights) {
    for (const char* name : {"", "i32", "f64", "q8_1x", "q4_0_s", "float"})
        EXPECT_FALSE(parse_weight_type(name)) << name;
}

TEST(BitsPerWeight, CountsBlockScales) {
    EXPECT_DOUBLE_EQ(bits_per_weight(GGML_TYPE_F16), 16);
    EXPECT_DOUBLE_EQ(bits_per_weight(GGML_TYPE_Q8_0), 8.5);
    EXPECT_DOUBLE_EQ(bits_per_weight(GGML_TYPE_Q4_K), 4.5);
    EXPECT_DOUBLE_EQ(bits_per_weight(GGML_TYPE_Q3_K), 3.4375);
}

}  // namespace
}  // namespace plasticity
