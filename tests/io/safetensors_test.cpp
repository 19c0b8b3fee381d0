#include <gtest/gtest.h>

#include "core/error.h"
#include "io/file_bytes.h"
#include "io/safetensors_reader.h"
#include "io/safetensors_writer.h"

namespace plasticity {
namespace {

using test::Bytes;
using test::expect_error;
using test::names_in;
using test::TempDir;
using test::write_bytes;

class SafetensorsTest : public ::testing::Test {
protected:
    SafetensorsReader read(std::string_view json, std::size_t data_bytes) const {
        return read_raw(Bytes().text(json).zeros(data_bytes));
    }
    SafetensorsReader read_raw(const Bytes& bytes) const {
        return SafetensorsReader(write_bytes(dir_ / "f.safetensors", bytes.str()));
    }
    void expect_malformed(std::string_view json, std::size_t data_bytes, std::vector<std::string> parts) const {
        SCOPED_TRACE(json);
        parts.push_back("f.safetensors");
        expect_error(ErrorKind::kMalformed, parts, [&] { read(json, data_bytes); });
    }

    TempDir dir_;
};

TEST_F(SafetensorsTest, ReadsEntriesInOrderOfOffset) {
    const SafetensorsReader file = read(R"({"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]},)"
                                        R"("__metadata__":{"format":"pt"},)"
                                        R"("a":{"data_offsets":[0,8],"dtype":"F32","shape":[2]}}   )",
                                        20);
    ASSERT_EQ(file.entries().size(), 2u);
    EXPECT_EQ(file.entries()[0].name, "a");
    EXPECT_EQ(file.entries()[1].shape, (std::vector<std::int64_t>{2, 3}));
    EXPECT_EQ(file.entries()[1].dtype, "BF16");
    EXPECT_EQ(file.entries()[1].bytes, 12u);
    EXPECT_EQ(file.entries()[1].offset, file.file().size() - 12);
    EXPECT_EQ(file.metadata().at("format"), "pt");
    EXPECT_EQ(file.find("b"), &file.entries()[1]);
    EXPECT_EQ(file.find("c"), nullptr);
    std::vector<std::byte> data(9);
    expect_error(ErrorKind::kInternal, {"'a'"}, [&] { file.read(*file.find("a"), 0, data); });
}

TEST_F(SafetensorsTest, TakesZeroDimensionsAndRankZero) {
    const SafetensorsReader file = read(R"({"none":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]},)"
                                        R"("one":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                                        R"("end":{"dtype":"I64","shape":[3,0],"data_offsets":[4,4]}})",
                                        4);
    EXPECT_EQ(file.find("none")->bytes, 0u);
    EXPECT_EQ(file.find("one")->bytes, 4u);
    EXPECT_TRUE(file.find("one")->shape.empty());
}

TEST_F(SafetensorsTest, TakesAFileWithoutTensors) {
    EXPECT_TRUE(read("{}", 0).entries().empty());
}

TEST_F(SafetensorsTest, IsMalformedWhereverItIsCut) {
    const std::string whole = Bytes().text(R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]}})").zeros(5).str();
    for (std::size_t length = 0; length < whole.size(); ++length) {
        SCOPED_TRACE(length);
        expect_error(ErrorKind::kMalformed, {"f.safetensors"},
                     [&] { read_raw(Bytes().raw(std::string_view(whole).substr(0, length))); });
    }
}

TEST_F(SafetensorsTest, RefusesHeaderLengthsBeyondTheLimitOrTheFile) {
    for (const std::uint64_t length : {100'000'001ull, 1ull << 63, ~0ull})
        expect_error(ErrorKind::kMalformed, {"at most 100000000"}, [&] { read_raw(Bytes().u64(length).raw("{}")); });
    expect_error(ErrorKind::kMalformed, {"truncated"}, [&] { read_raw(Bytes().u64(3).raw("{}")); });
}

TEST_F(SafetensorsTest, RefusesWhatIsNotJson) {
    expect_malformed("", 0, {"'{'"});
    expect_malformed("[]", 0, {"'{'"});
    expect_malformed(" {}", 0, {"'{'"});
    expect_malformed("{} {}", 0, {"not valid JSON"});
    expect_malformed(R"({"a":)", 0, {"not valid JSON"});
    expect_malformed(std::string(100'000, '{'), 0, {"not valid JSON"});
}

TEST_F(SafetensorsTest, RefusesInvalidUtf8) {
    expect_malformed("{\"a\xff\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, {"UTF-8"});
    expect_malformed("{\"a\xc0\x80\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, {"UTF-8"});
}

TEST_F(SafetensorsTest, RefusesDuplicateKeys) {
    const std::string entry = R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    expect_malformed(R"({"a":)" + entry + R"(,"a":)" + entry + "}", 0, {"'a'", "twice"});
    expect_malformed(R"({"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})", 0, {"'dtype'", "twice"});
    expect_malformed(R"({"__metadata__":{"k":"1","k":"2"}})", 0, {"'k'", "twice"});
    expect_malformed(R"({"__metadata__":{},"__metadata__":{}})", 0, {"'__metadata__'", "twice"});
}

TEST_F(SafetensorsTest, RefusesMissingOrUnknownFields) {
    expect_malformed(R"({"a":{"dtype":"U8","shape":[0]}})", 0, {"'a'", "lacks"});
    expect_malformed(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}})", 0, {"'a'", "'x'"});
}

TEST_F(SafetensorsTest, RefusesValuesOfTheWrongKind) {
    expect_malformed(R"({"a":1})", 0, {"'a'", "the number 1", "an object"});
    expect_malformed(R"({"a":null})", 0, {"'a'", "null"});
    expect_malformed(R"({"a":{"dtype":8,"shape":[0],"data_offsets":[0,0]}})", 0, {"'dtype'", "expected a string"});
    expect_malformed(R"({"a":{"dtype":"U8","shape":0,"data_offsets":[0,0]}})", 0, {"'shape'", "array"});
    expect_malformed(R"({"a":{"dtype":"U8","shape":[[0]],"data_offsets":[0,0]}})", 0, {"'shape'", "an array"});
    expect_malformed(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}})", 0, {"'shape'", "-1"});
    expect_malformed(R"({"__metadata__":{"k":1}})", 0, {"'__metadata__'", "'k'", "expected a string"});
    expect_malformed(R"({"__metadata__":"text"})", 0, {"'__metadata__'", "expected an object"});
}

TEST_F(SafetensorsTest, RefusesOffsetsThatAreNotTwoWholeNumbers) {
    const auto with_offsets = [](const std::string& offsets) {
        return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + offsets + "}}";
    };
    expect_malformed(with_offsets("[]"), 4, {"'a'", "0 numbers"});
    expect_malformed(with_offsets("[4]"), 4, {"'a'", "1 numbers"});
    expect_malformed(with_offsets("[0,4,4]"), 4, {"'a'", "3 or more"});
    expect_malformed(with_offsets("[0,4.0]"), 4, {"'data_offsets'", "'4.0'"});
    expect_malformed(with_offsets("[0,1e1]"), 10, {"'data_offsets'", "'1e1'"});
    expect_malformed(with_offsets("[-4,0]"), 4, {"'data_offsets'", "-4"});
    expect_malformed(with_offsets("[0,18446744073709551620]"), 4, {"'data_offsets'"});  // wraps to 4
    expect_malformed(with_offsets("[4,0]"), 4, {"'a'", "reversed"});
    expect_malformed(with_offsets(R"(["0","4"])"), 4, {"'data_offsets'", "string"});
}

TEST_F(SafetensorsTest, RefusesSizesThatDoNotMatchShapes) {
    expect_malformed(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, {"'a'", "expected 8"});
}

TEST_F(SafetensorsTest, RefusesShapesThatWrap) {
    expect_malformed(R"({"a":{"dtype":"U8","shape":[4194305,4194305,211106198978564],"data_offsets":[0,4]}})", 4,
                     {"'a'", "2^63"});
    expect_malformed(R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", 0, {"'a'", "2^63"});
    expect_malformed(R"({"a":{"dtype":"F32","shape":[18446744073709551615,0],"data_offsets":[0,0]}})", 0, {"2^63"});
}

TEST_F(SafetensorsTest, RefusesAbsurdRanks) {
    std::string ones = "1";
    for (int i = 0; i < 64; ++i) ones += ",1";
    expect_malformed(R"({"a":{"dtype":"U8","shape":[)" + ones + R"(],"data_offsets":[0,1]}})", 1,
                     {"'a'", "more than 64 dimensions"});
}

TEST_F(SafetensorsTest, RefusesUnknownDtypes) {
    for (const char* dtype : {"F4", "bf16", "", "F128"})
        expect_malformed(R"({"a":{"dtype":")" + std::string(dtype) + R"(","shape":[2],"data_offsets":[0,4]}})", 4,
                         {"'a'", "dtype", "BF16"});
}

TEST_F(SafetensorsTest, RefusesHolesOverlapsAndLeftovers) {
    const auto two = [](int begin, int end) {
        return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[)" +
               std::to_string(begin) + "," + std::to_string(end) + "]}}";
    };
    EXPECT_EQ(read(two(4, 8), 8).entries().size(), 2u);
    expect_malformed(two(6, 10), 10, {"'b'", "hole"});
    expect_malformed(two(2, 6), 6, {"'b'", "overlap"});
    expect_malformed(two(0, 4), 4, {"'b'", "overlap"});
    expect_malformed(two(4, 8), 9, {"1 bytes follow"});
    expect_malformed(two(4, 8), 7, {"'b'", "byte 8", "truncated"});
    expect_malformed(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}})", 5, {"'a'", "hole"});
}

TEST_F(SafetensorsTest, ReportsEveryBadTensorAtOnce) {
    expect_malformed(R"({"a":{"dtype":"X","shape":[4],"data_offsets":[0,4]},)"
                     R"("b":{"dtype":"U8","shape":[5],"data_offsets":[4,8]}})",
                     8, {"2 problems", "'a'", "'b'"});
}

TEST_F(SafetensorsTest, ElementSizes) {
    EXPECT_EQ(safetensors_element_bytes("F8_E4M3"), 1u);
    EXPECT_EQ(safetensors_element_bytes("BF16"), 2u);
    EXPECT_EQ(safetensors_element_bytes("F32"), 4u);
    EXPECT_EQ(safetensors_element_bytes("I64"), 8u);
    EXPECT_EQ(safetensors_element_bytes("Q4_K"), 0u);
}

TEST_F(SafetensorsTest, WritesWhatItReads) {
    const std::vector<SafetensorsSpec> specs{{"z.weight", "F32", {2, 3}}, {"a.bias", "BF16", {3}}, {"none", "I8", {0}}};
    std::string data;
    for (int i = 0; i < 30; ++i) data += static_cast<char>(i);
    SafetensorsWriter writer(dir_ / "out.safetensors", specs, Overwrite::kRefuse);
    writer.write(std::as_bytes(std::span(data).first(7)));
    writer.write(std::as_bytes(std::span(data).subspan(7)));
    writer.finish();

    const SafetensorsReader file(dir_ / "out.safetensors");
    EXPECT_EQ(file.metadata().at("format"), "pt");
    ASSERT_EQ(file.entries().size(), 3u);
    EXPECT_EQ(file.find("z.weight")->offset % 8, 0u);
    EXPECT_EQ(file.find("z.weight")->shape, specs[0].shape);
    std::string bias(6, '\0');
    file.read(*file.find("a.bias"), 0, std::as_writable_bytes(std::span(bias)));
    EXPECT_EQ(bias, data.substr(24));
}

TEST_F(SafetensorsTest, WriterRefusesTooMuchTooLittleAndNonsense) {
    {
        SafetensorsWriter writer(dir_ / "out", {{"a", "U8", {4}}}, Overwrite::kRefuse);
        const std::vector<std::byte> five(5), three(3);
        expect_error(ErrorKind::kInternal, {"5 bytes", "at most 4"}, [&] { writer.write(five); });
        writer.write(three);
        expect_error(ErrorKind::kInternal, {"3 of 4"}, [&] { writer.finish(); });
    }
    const auto refuse = [&](std::vector<SafetensorsSpec> specs) {
        expect_error(ErrorKind::kInternal, {"safetensors writer"},
                     [&] { SafetensorsWriter(dir_ / "out", std::move(specs), Overwrite::kRefuse); });
    };
    refuse({{"a", "U8", {1}}, {"a", "U8", {1}}});
    refuse({{"", "U8", {1}}});
    refuse({{"a", "Q4_K", {1}}});
    refuse({{"a", "U8", {-1}}});
    refuse({{"a", "F32", {std::int64_t{1} << 62}}});
    refuse({{"a\xff", "U8", {1}}});
    EXPECT_TRUE(names_in(dir_.path()).empty());
}

}  // namespace
}  // namespace plasticity
