#include "io/gguf_metadata.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "io/file_bytes.h"

namespace plasticity {
namespace {

using test::expect_error;

TEST(GgufMetadata, KeepsOrderAndReplacesInPlace) {
    GgufMetadata metadata;
    metadata.set("b", std::uint32_t{1});
    metadata.set("a", std::string("x"));
    metadata.set("b", std::uint32_t{2});
    ASSERT_EQ(metadata.entries().size(), 2u);
    EXPECT_EQ(metadata.entries()[0].first, "b");
    EXPECT_EQ(metadata.integer("b"), 2);
}

TEST(GgufMetadata, ErasesAndStillFindsTheRest) {
    GgufMetadata metadata;
    for (const char* key : {"a", "b", "c", "d"}) metadata.set(key, std::string(key));
    metadata.erase("b");
    metadata.erase("absent");
    metadata.set("e", std::string("e"));
    EXPECT_FALSE(metadata.contains("b"));
    for (const char* key : {"a", "c", "d", "e"}) EXPECT_EQ(metadata.text(key), key);
    ASSERT_EQ(metadata.entries().size(), 4u);
    EXPECT_EQ(metadata.entries()[1].first, "c");
}

TEST(GgufMetadata, IndexIsTheTypeNumberOfTheFormat) {
    EXPECT_EQ(GgufValue(std::uint8_t{}).index(), 0u);
    EXPECT_EQ(GgufValue(1.0f).index(), 6u);
    EXPECT_EQ(GgufValue(true).index(), 7u);
    EXPECT_EQ(GgufValue(std::string()).index(), 8u);
    EXPECT_EQ(GgufValue(GgufArray()).index(), 9u);
    EXPECT_EQ(GgufValue(std::uint64_t{}).index(), 10u);
    EXPECT_EQ(GgufValue(1.0).index(), 12u);
}

TEST(GgufMetadata, FallsBackOnlyWhereTheKeyIsAbsent) {
    GgufMetadata metadata;
    metadata.set("n", std::string("text"));
    EXPECT_EQ(metadata.integer_or("absent", 7), 7);
    EXPECT_EQ(metadata.real_or("absent", 0.5), 0.5);
    EXPECT_TRUE(metadata.boolean_or("absent", true));
    EXPECT_EQ(metadata.text_or("absent", "y"), "y");
    EXPECT_EQ(metadata.array<float>("absent"), nullptr);
    expect_error(ErrorKind::kMalformed, {"'n'", "is str", "an integer"}, [&] { metadata.integer_or("n", 7); });
    expect_error(ErrorKind::kMalformed, {"'n'", "is str"}, [&] { metadata.real_or("n", 7); });
    expect_error(ErrorKind::kMalformed, {"'n'", "is str"}, [&] { metadata.boolean_or("n", true); });
}

TEST(GgufMetadata, NamesKeyAndTypeOfWhatDoesNotFit) {
    GgufMetadata metadata;
    metadata.set("flag", true);
    metadata.set("huge", ~std::uint64_t{0});
    metadata.set("bytes", GgufArray(std::vector<std::uint8_t>{1}));
    expect_error(ErrorKind::kMalformed, {"'absent'", "absent"}, [&] { metadata.integer("absent"); });
    expect_error(ErrorKind::kMalformed, {"'flag'", "bool"}, [&] { metadata.integer("flag"); });
    expect_error(ErrorKind::kMalformed, {"'huge'", "2^63"}, [&] { metadata.integer("huge"); });
    expect_error(ErrorKind::kMalformed, {"'flag'", "str"}, [&] { metadata.text("flag"); });
    // Narrower elements than expected: a reader that took them as 32-bit would run off the array.
    expect_error(ErrorKind::kMalformed, {"'bytes'", "array of u8", "array of i32"},
                 [&] { metadata.array<std::int32_t>("bytes"); });
}

TEST(GgufMetadata, PerLayerCountsComeAsScalarOrArray) {
    GgufMetadata metadata;
    metadata.set("scalar", std::uint32_t{9});
    metadata.set("array", GgufArray(std::vector<std::int32_t>{3, 2, 1}));
    metadata.set("reals", GgufArray(std::vector<float>{1}));
    EXPECT_EQ(metadata.integers_per_layer("scalar", 3), (std::vector<std::int64_t>{9, 9, 9}));
    EXPECT_EQ(metadata.integers_per_layer("array", 3), (std::vector<std::int64_t>{3, 2, 1}));
    expect_error(ErrorKind::kMalformed, {"'array'", "3 integers", "4 layers"},
                 [&] { metadata.integers_per_layer("array", 4); });
    expect_error(ErrorKind::kMalformed, {"'reals'", "array of f32"}, [&] { metadata.integers_per_layer("reals", 1); });
    expect_error(ErrorKind::kMalformed, {"'absent'"}, [&] { metadata.integers_per_layer("absent", 1); });
}

}  // namespace
}  // namespace plasticity
