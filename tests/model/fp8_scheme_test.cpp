#include "model/fp8_scheme.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "support/expect_error.h"

namespace plasticity {
namespace {

using nlohmann::json;

Fp8Scheme scheme_of(const json& quantization) {
    return fp8_scheme_from_config({{"quantization_config", quantization}});
}

json group(const json& changes = json::object()) {
    json weights{{"num_bits", 8}, {"type", "float"}, {"strategy", "channel"}};
    weights.update(changes);
    return {{"weights", weights}, {"targets", {"Linear"}}};
}

TEST(Fp8Scheme, IsNoneWithoutAQuantizationConfig) {
    for (const json& config : {json::object(), json{{"quantization_config", nullptr}}}) {
        EXPECT_FALSE(fp8_scheme_from_config(config).is_quantized);
        EXPECT_FALSE(fp8_scheme_from_config(config).block);
    }
}

TEST(Fp8Scheme, ReadsWhatCheckpointsSay) {
    const json deepseek{
        {"quant_method", "fp8"}, {"activation_scheme", "dynamic"}, {"fmt", "e4m3"}, {"weight_block_size", {128, 64}}};
    EXPECT_TRUE(scheme_of(deepseek).is_quantized);
    EXPECT_EQ(scheme_of(deepseek).block, (BlockSize{128, 64}));
    EXPECT_TRUE(scheme_of({{"quant_method", "fp8"}, {"activation_scheme", "static"}}).is_quantized);
    EXPECT_FALSE(scheme_of({{"quant_method", "fp8"}, {"weight_block_size", nullptr}}).block);
    EXPECT_TRUE(scheme_of({{"quant_method", "fbgemm_fp8"}, {"activation_scale_ub", 1200.0}}).is_quantized);

    const json rows{{"quant_method", "compressed-tensors"},
                    {"transform_config", json::object()},
                    {"config_groups", {{"group_0", group()}}}};
    EXPECT_TRUE(scheme_of(rows).is_quantized);
    EXPECT_FALSE(scheme_of(rows).block);
    json blocks = rows;
    blocks["config_groups"]["group_1"] = group({{"strategy", "block"}, {"block_structure", {128, 128}}});
    EXPECT_EQ(scheme_of(blocks).block, (BlockSize{128, 128}));
    EXPECT_EQ(fp8_scheme_from_config({{"compression_config", blocks}}).block, (BlockSize{128, 128}));
}

TEST(Fp8Scheme, RefusesWhatIsNoFp8) {
    const auto compressed = [](const json& groups) {
        return json{{"quant_method", "compressed-tensors"}, {"config_groups", groups}};
    };
    const json blocks = group({{"block_structure", {128, 128}}}), others = group({{"block_structure", {64, 64}}});
    const std::vector<std::pair<json, const char*>> cases{
        {{{"quant_method", "gptq"}}, "'gptq'"},
        {{{"quant_method", 8}}, "quant_method: got 8"},
        {json::object(), "an unnamed method"},
        {"fp8", "an unnamed method"},
        {{{"quant_method", "fp8"}, {"weight_block_size", {128}}}, "weight_block_size: expected two"},
        {{{"quant_method", "fp8"}, {"weight_block_size", {128, 0}}}, "weight_block_size: expected two"},
        {{{"quant_method", "fp8"}, {"weight_block_size", {-128, 128}}}, "weight_block_size: expected two"},
        {{{"quant_method", "fp8"}, {"weight_block_size", {128, 1e3}}}, "weight_block_size: expected two"},
        {{{"quant_method", "fp8"}, {"weight_block_size", {128, 18446744073709551615u}}}, "expected two"},
        {{{"quant_method", "fp8"}, {"weight_block_size", 128}}, "weight_block_size: expected two"},
        {{{"quant_method", "compressed-tensors"}}, "without config_groups"},
        {compressed({{"group_0", group({{"num_bits", 4}})}}), "'group_0' other than 8-bit floats"},
        {compressed({{"group_0", group({{"type", "int"}})}}), "'group_0' other than 8-bit floats"},
        {compressed({{"group_0", {{"weights", nullptr}}}}), "'group_0' other than 8-bit floats"},
        {compressed({{"group_0", group({{"block_structure", "128x128"}})}}), "block_structure: expected two"},
        {compressed({{"group_0", blocks}, {"group_1", others}}), "blocks of two sizes"},
        {{{"quant_method", "fp8"}, {"transform_config", {{"config_groups", {{"u", 1}}}}}}, "transform_config"},
    };
    for (const auto& [quantization, expected] : cases) {
        SCOPED_TRACE(quantization.dump());
        test::expect_error(ErrorKind::kMalformed, {expected}, [&] { scheme_of(quantization); });
    }
}

}  // namespace
}  // namespace plasticity
