#include "artifact/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace plasticity {
namespace {

TEST(JsonText, KeepsOrderAndPutsPlainArraysOnOneLine) {
    nlohmann::ordered_json json;
    json["b"] = {1, 0.1, "x"};
    json["a"]["rows"] = {{1, 2}, nlohmann::ordered_json::array()};
    json["e"] = nlohmann::ordered_json::array();
    EXPECT_EQ(json_text(json),
              "{\n  \"b\": [1, 0.1, \"x\"],\n  \"a\": {\n    \"rows\": [\n      [1, 2],\n      []\n    ]\n  },\n  "
              "\"e\": []\n}\n");
}

TEST(JsonText, ReplacesBytesThatAreNoText) {
    EXPECT_EQ(json_text(nlohmann::ordered_json("a\xff")), "\"a\xef\xbf\xbd\"\n");
}

TEST(ObjectReader, ReadsWhatIsThereAndRefusesTheRestByName) {
    const auto json = nlohmann::json::parse(R"({"n": 3, "x": 1.5, "rows": [[1], []], "odd": 0})");
    ObjectReader reader(json, "file");
    EXPECT_EQ(reader.integer("n", 0, 10), 3);
    EXPECT_EQ(reader.number("x"), 1.5);
    EXPECT_EQ(reader.number_rows("rows"), (std::vector<std::vector<double>>{{1}, {}}));
    try {
        reader.finish();
        FAIL() << "the unknown key went through";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
        EXPECT_NE(std::string(error.what()).find("file: unknown keys \"odd\""), std::string::npos);
    }
}

TEST(ObjectReader, RefusesOtherTypesAndRanges) {
    const auto json =
        nlohmann::json::parse(R"({"n": 3.0, "big": 18446744073709551615, "neg": [-1], "t": "x", "b": 1})");
    ObjectReader reader(json, "file");
    EXPECT_THROW(reader.integer("n", 0, 10), Error);
    EXPECT_THROW(reader.integer("big", 0, 10), Error);
    EXPECT_THROW(reader.integers("neg", 0), Error);
    EXPECT_THROW(reader.number("t"), Error);
    EXPECT_THROW(reader.boolean("b"), Error);
    EXPECT_THROW(reader.text("missing"), Error);
    EXPECT_THROW(ObjectReader(nlohmann::json::array(), "file"), Error);
}

TEST(ObjectReader, RefusesANewerSchema) {
    const auto json = nlohmann::json::parse(R"({"v": 2})");
    ObjectReader reader(json, "file");
    EXPECT_NO_THROW(reader.require_schema("v", 2));
    EXPECT_THROW(reader.require_schema("v", 1), Error);
}

}  // namespace
}  // namespace plasticity
