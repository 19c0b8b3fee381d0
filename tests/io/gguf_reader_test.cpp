#include "io/gguf_reader.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "io/file_bytes.h"
#include "io/gguf_types.h"

namespace plasticity {
namespace {

using test::Bytes;
using test::expect_error;
using test::TempDir;
using test::write_bytes;

constexpr std::uint32_t kF32 = GGML_TYPE_F32;
constexpr std::uint32_t kQ4 = GGML_TYPE_Q4_0;  // blocks of 32 elements

Bytes header(std::uint64_t n_tensors, std::uint64_t n_keys, std::uint32_t version = 3) {
    return Bytes().raw("GGUF").u32(version).u64(n_tensors).u64(n_keys);
}

Bytes& add_tensor(Bytes& file, std::string_view name, const std::vector<std::int64_t>& dims, std::uint32_t type = kF32,
                  std::uint64_t offset = 0) {
    file.text(name).u32(static_cast<std::uint32_t>(dims.size()));
    for (const std::int64_t dim : dims) file.number(dim);
    return file.u32(type).u64(offset);
}

/// Two keys, two tensors of [4, 2] F32 and 32 Q4_0, filled with 0xAB.
Bytes small_gguf() {
    Bytes file = header(2, 2);
    file.text("general.name").u32(GGUF_TYPE_STRING).text("small");
    file.text("x.counts").u32(GGUF_TYPE_ARRAY).u32(GGUF_TYPE_UINT16).u64(3).number<std::uint16_t>(7);
    file.number<std::uint16_t>(8).number<std::uint16_t>(9);
    add_tensor(file, "a.weight", {4, 2});
    add_tensor(file, "b.weight", {32}, kQ4, 32);
    file.pad_to(32);
    return file.raw(std::string(32 + 18, '\xAB'));
}

class GgufReaderTest : public ::testing::Test {
protected:
    GgufReader read(const Bytes& bytes) const { return GgufReader(write_bytes(dir_ / "file.gguf", bytes.str())); }

    void expect_malformed(const Bytes& bytes, std::vector<std::string> parts) const {
        parts.push_back("file.gguf");
        expect_error(ErrorKind::kMalformed, parts, [&] { read(bytes); });
    }

    /// A file of one tensor, its data in place.
    void expect_bad_tensor(const std::vector<std::int64_t>& dims, std::uint32_t type, std::uint64_t offset,
                           const std::string& part) const {
        Bytes file = header(1, 0);
        add_tensor(file, "t.weight", dims, type, offset).pad_to(32).zeros(256);
        expect_malformed(file, {"'t.weight'", part});
    }

    TempDir dir_;
};

TEST_F(GgufReaderTest, ReadsKeysTensorsAndData) {
    const GgufReader file = read(small_gguf());
    EXPECT_EQ(file.metadata().text("general.name"), "small");
    EXPECT_EQ(*file.metadata().array<std::uint16_t>("x.counts"), (std::vector<std::uint16_t>{7, 8, 9}));
    ASSERT_EQ(file.tensors().size(), 2u);

    const GgufTensor* a = file.find("a.weight");
    ASSERT_NE(a, nullptr);
    EXPECT_EQ(a->type, GGML_TYPE_F32);
    EXPECT_EQ(a->n_dims, 2);
    EXPECT_EQ(a->dims, (std::array<std::int64_t, 4>{4, 2, 1, 1}));
    EXPECT_EQ(a->row_length(), 4);
    EXPECT_EQ(a->n_rows(), 2);
    EXPECT_EQ(a->bytes, 32u);
    const GgufTensor* b = file.find("b.weight");
    ASSERT_NE(b, nullptr);
    EXPECT_EQ(b->bytes, 18u);
    EXPECT_EQ(b->offset, a->offset + 32);
    EXPECT_EQ(file.find("c.weight"), nullptr);

    std::vector<std::byte> data(18);
    file.read(*b, 0, data);
    EXPECT_EQ(data, std::vector<std::byte>(18, std::byte{0xAB}));
}

TEST_F(GgufReaderTest, RefusesReadsThatLeaveTheTensor) {
    const GgufReader file = read(small_gguf());
    std::vector<std::byte> data(18);
    expect_error(ErrorKind::kInternal, {"'b.weight'"}, [&] { file.read(*file.find("b.weight"), 1, data); });
    expect_error(ErrorKind::kInternal, {"'b.weight'"}, [&] { file.read(*file.find("b.weight"), ~0ull, data); });
}

TEST_F(GgufReaderTest, ReadsVersion2AndScalarsOfEveryType) {
    Bytes bytes = header(0, 12, 2);
    bytes.text("u8").u32(GGUF_TYPE_UINT8).u8(200);
    bytes.text("i8").u32(GGUF_TYPE_INT8).number<std::int8_t>(-3);
    bytes.text("u16").u32(GGUF_TYPE_UINT16).number<std::uint16_t>(60000);
    bytes.text("i16").u32(GGUF_TYPE_INT16).number<std::int16_t>(-4);
    bytes.text("u32").u32(GGUF_TYPE_UINT32).u32(4'000'000'000u);
    bytes.text("i32").u32(GGUF_TYPE_INT32).number<std::int32_t>(-5);
    bytes.text("f32").u32(GGUF_TYPE_FLOAT32).number(1.5f);
    bytes.text("bool").u32(GGUF_TYPE_BOOL).u8(1);
    bytes.text("str").u32(GGUF_TYPE_STRING).text("");
    bytes.text("u64").u32(GGUF_TYPE_UINT64).u64(1ull << 40);
    bytes.text("i64").u32(GGUF_TYPE_INT64).number<std::int64_t>(-6);
    bytes.text("f64").u32(GGUF_TYPE_FLOAT64).number(2.25);
    const GgufReader file = read(bytes);
    const GgufMetadata& metadata = file.metadata();
    EXPECT_EQ(metadata.integer("u8"), 200);
    EXPECT_EQ(metadata.integer("i8"), -3);
    EXPECT_EQ(metadata.integer("u16"), 60000);
    EXPECT_EQ(metadata.integer("i16"), -4);
    EXPECT_EQ(metadata.integer("u32"), 4'000'000'000);
    EXPECT_EQ(metadata.integer("i32"), -5);
    EXPECT_EQ(metadata.real("f32"), 1.5);
    EXPECT_TRUE(metadata.boolean_or("bool", false));
    EXPECT_EQ(metadata.text("str"), "");
    EXPECT_EQ(metadata.integer("u64"), std::int64_t{1} << 40);
    EXPECT_EQ(metadata.integer("i64"), -6);
    EXPECT_EQ(metadata.real("f64"), 2.25);
}

TEST_F(GgufReaderTest, HonoursAStatedAlignment) {
    Bytes bytes = header(1, 1);
    bytes.text("general.alignment").u32(GGUF_TYPE_UINT32).u32(256);
    add_tensor(bytes, "t", {1}).pad_to(256).number(42.0f);
    const GgufReader file = read(bytes);
    EXPECT_EQ(file.alignment(), 256u);
    EXPECT_EQ(file.tensors().front().offset, 256u);
}

TEST_F(GgufReaderTest, IsMalformedWhereverItIsCut) {
    const std::string whole = small_gguf().str();
    for (std::size_t length = 0; length < whole.size(); ++length) {
        SCOPED_TRACE(length);
        expect_malformed(Bytes().raw(whole.substr(0, length)), {});
    }
}

TEST_F(GgufReaderTest, MissingFile) {
    expect_error(ErrorKind::kMissing, {"absent.gguf"}, [&] { GgufReader file(dir_ / "absent.gguf"); });
}

TEST_F(GgufReaderTest, RefusesWrongMagic) {
    expect_malformed(Bytes().raw("PK\x03\x04").zeros(64), {"magic", "'PK\\x03\\x04'", "expected 'GGUF'"});
}

TEST_F(GgufReaderTest, RefusesVersion0) {
    expect_malformed(header(0, 0, 0), {"version 0", "expected 2 or 3"});
}
TEST_F(GgufReaderTest, RefusesVersion1) {
    expect_malformed(header(0, 0, 1), {"version 1 is not supported"});
}
TEST_F(GgufReaderTest, RefusesFutureVersion) {
    expect_malformed(header(0, 0, 4), {"version 4", "newer"});
}
TEST_F(GgufReaderTest, RefusesByteSwappedVersionByItsCause) {
    expect_malformed(header(0, 0, 0x03000000), {"big-endian"});
}

TEST_F(GgufReaderTest, RefusesAbsurdTensorCounts) {
    for (const std::uint64_t n : {~0ull, 1ull << 32, 1ull << 63, 3ull})
        expect_malformed(header(n, 0).zeros(64), {std::to_string(n) + " tensors"});
}

TEST_F(GgufReaderTest, RefusesAbsurdKeyCounts) {
    for (const std::uint64_t n : {~0ull, 1ull << 32, 1ull << 63, 5ull})
        expect_malformed(header(0, n).zeros(64), {std::to_string(n) + " key-value pairs"});
}

TEST_F(GgufReaderTest, RefusesAbsurdKeyLengths) {
    for (const std::uint64_t n : {~0ull, 1ull << 32, 65536ull, 100ull})
        expect_malformed(header(0, 1).u64(n).zeros(64), {"key claims", std::to_string(n)});
}

TEST_F(GgufReaderTest, RefusesEmptyKey) {
    expect_malformed(header(0, 1).text("").u32(GGUF_TYPE_UINT8).zeros(16), {"key is empty"});
}

TEST_F(GgufReaderTest, RefusesKeyWithNul) {
    expect_malformed(header(0, 1).text({"a\0b", 3}).u32(GGUF_TYPE_UINT8).u8(1), {"'a\\x00b'", "NUL"});
}

TEST_F(GgufReaderTest, RefusesDuplicateKeys) {
    Bytes file = header(0, 2);
    for (int i = 0; i < 2; ++i) file.text("twin").u32(GGUF_TYPE_UINT8).u8(1);
    expect_malformed(file, {"'twin'", "twice"});
}

TEST_F(GgufReaderTest, RefusesUnknownValueType) {
    expect_malformed(header(0, 1).text("key").u32(13).zeros(8), {"'key'", "type 13"});
    expect_malformed(header(0, 1).text("key").u32(~0u).zeros(8), {"'key'", "type 4294967295"});
}

TEST_F(GgufReaderTest, RefusesUnknownArrayType) {
    expect_malformed(header(0, 1).text("key").u32(GGUF_TYPE_ARRAY).u32(99).u64(1).zeros(8), {"'key'", "type 99"});
}

TEST_F(GgufReaderTest, RefusesNestedArrays) {
    expect_malformed(header(0, 1).text("key").u32(GGUF_TYPE_ARRAY).u32(GGUF_TYPE_ARRAY).u64(1).zeros(32),
                     {"'key'", "array of arrays"});
}

TEST_F(GgufReaderTest, RefusesArrayLengthsBeyondTheFile) {
    for (const std::uint32_t type : {GGUF_TYPE_UINT8, GGUF_TYPE_FLOAT64, GGUF_TYPE_STRING, GGUF_TYPE_BOOL})
        for (const std::uint64_t n : {65ull, 1ull << 32, 1ull << 61, 1ull << 63, ~0ull})
            expect_malformed(header(0, 1).text("key").u32(GGUF_TYPE_ARRAY).u32(type).u64(n).zeros(64),
                             {"'key'", std::to_string(n) + " array elements"});
}

TEST_F(GgufReaderTest, RefusesStringLengthsBeyondTheFile) {
    for (const std::uint64_t n : {65ull, 1ull << 32, 1ull << 63, ~0ull})
        expect_malformed(header(0, 1).text("key").u32(GGUF_TYPE_STRING).u64(n).zeros(64), {"'key'", std::to_string(n)});
}

// CVE-2025-49847 kept such a length in 32 bits. The file is sparse: the length alone is not beyond it.
TEST_F(GgufReaderTest, RefusesStringsLongerThanAHeaderMayBe) {
    const auto path =
        write_bytes(dir_ / "file.gguf", header(0, 1).text("key").u32(GGUF_TYPE_STRING).u64(1u << 31).str());
    std::filesystem::resize_file(path, std::uint64_t{3} << 30);
    expect_error(ErrorKind::kMalformed, {"'key'", "2147483648"}, [&] { GgufReader file(path); });
}

TEST_F(GgufReaderTest, RefusesBooleanThatIsNeither) {
    expect_malformed(header(0, 1).text("key").u32(GGUF_TYPE_BOOL).u8(2), {"'key'", "boolean of value 2"});
}

TEST_F(GgufReaderTest, RefusesBadAlignment) {
    for (const std::uint32_t alignment : {0u, 4u, 13u, 24u, 1u << 17, 1u << 30, ~0u}) {
        Bytes file = header(0, 1);
        file.text("general.alignment").u32(GGUF_TYPE_UINT32).u32(alignment);
        expect_malformed(file, {"general.alignment", std::to_string(alignment), "power of two"});
    }
}

TEST_F(GgufReaderTest, RefusesAlignmentOfAnotherType) {
    expect_malformed(header(0, 1).text("general.alignment").u32(GGUF_TYPE_UINT64).u64(32), {"u64", "expected u32"});
    expect_malformed(header(0, 1).text("general.alignment").u32(GGUF_TYPE_INT32).u32(32), {"i32", "expected u32"});
}

TEST_F(GgufReaderTest, RefusesMoreThanFourDimensions) {
    expect_bad_tensor({1, 1, 1, 1, 1}, kF32, 0, "5 dimensions");
    Bytes file = header(1, 0);
    expect_malformed(file.text("t").u32(~0u).zeros(256), {"'t'", "4294967295 dimensions"});
}

TEST_F(GgufReaderTest, RefusesNoDimensions) {
    expect_bad_tensor({}, kF32, 0, "0 dimensions");
}
TEST_F(GgufReaderTest, RefusesZeroDimension) {
    expect_bad_tensor({4, 0}, kF32, 0, "[4, 0]");
}
TEST_F(GgufReaderTest, RefusesNegativeDimension) {
    expect_bad_tensor({-4, 2}, kF32, 0, "[-4, 2]");
}

TEST_F(GgufReaderTest, RefusesRowsThatAreNoWholeBlocks) {
    expect_bad_tensor({33, 2}, kQ4, 0, "expected a multiple of 32");
}

TEST_F(GgufReaderTest, RefusesProductsThatWrap) {
    expect_bad_tensor({1ll << 32, 1ll << 32}, kF32, 0, "2^63 elements");
    expect_bad_tensor({4194305, 4194305, 211106198978564}, kF32, 0, "2^63 elements");
    expect_bad_tensor({1ll << 62}, kF32, 0, "2^64 bytes");
}

TEST_F(GgufReaderTest, RefusesRemovedTypes) {
    int removed = 0;
    for (int type = 0; type < GGML_TYPE_COUNT; ++type) {
        if (ggml_blck_size(static_cast<ggml_type>(type)) != 0) continue;
        ++removed;
        expect_bad_tensor({256}, static_cast<std::uint32_t>(type), 0, "removed");
    }
    EXPECT_GT(removed, 0);
}

TEST_F(GgufReaderTest, RefusesUnknownTypes) {
    expect_bad_tensor({256}, GGML_TYPE_COUNT, 0, "newer than this program");
    expect_bad_tensor({256}, 1u << 31, 0, "type 2147483648");
    expect_bad_tensor({256}, ~0u, 0, "type 4294967295");
}

TEST_F(GgufReaderTest, RefusesMisalignedOffset) {
    expect_bad_tensor({4}, kF32, 4, "expected a multiple of 32");
}

TEST_F(GgufReaderTest, RefusesOffsetPastTheEnd) {
    expect_bad_tensor({4}, kF32, 256, "beyond the file");
    expect_bad_tensor({4}, kF32, 1ull << 63, "beyond the file");
    expect_bad_tensor({4}, kF32, ~0ull - 31, "beyond the file");  // wraps when the data's start is added
}

// CVE-2025-53630 and CVE-2026-27940: llama.cpp summed these to a small buffer.
TEST_F(GgufReaderTest, RefusesTensorsWhoseSizesTogetherWrap) {
    Bytes file = header(2, 0);
    add_tensor(file, "first", {1ll << 61});
    add_tensor(file, "second", {(1ll << 61) + 8}, kF32, 1ull << 63).pad_to(32).zeros(256);
    expect_malformed(file, {"2 problems", "'first'", "'second'", "beyond the file"});
}

TEST_F(GgufReaderTest, RefusesTensorThatEndsPastTheEnd) {
    expect_bad_tensor({65}, kF32, 0, "beyond the file");
}

TEST_F(GgufReaderTest, RefusesOverlappingTensors) {
    Bytes file = header(3, 0);
    add_tensor(file, "first", {16}, kF32, 64);
    add_tensor(file, "second", {9}, kF32, 32);  // 36 bytes: four too many
    add_tensor(file, "third", {8}, kF32, 0);
    file.pad_to(32).zeros(256);
    expect_malformed(file, {"'first'", "overlaps", "'second'"});
}

TEST_F(GgufReaderTest, RefusesTwoTensorsInOnePlace) {
    Bytes file = header(2, 0);
    add_tensor(file, "one", {8});
    add_tensor(file, "other", {8}).pad_to(32).zeros(64);
    expect_malformed(file, {"'other'", "overlaps", "'one'"});
}

TEST_F(GgufReaderTest, RefusesDuplicateTensorNames) {
    Bytes file = header(2, 0);
    add_tensor(file, "twin", {8});
    add_tensor(file, "twin", {8}, kF32, 32).pad_to(32).zeros(64);
    expect_malformed(file, {"'twin'", "twice"});
}

TEST_F(GgufReaderTest, RefusesBadTensorNames) {
    for (const std::string& name : {std::string(), std::string("a\0b", 3), std::string(GGML_MAX_NAME, 'n')}) {
        Bytes file = header(1, 0);
        expect_malformed(add_tensor(file, name, {8}).pad_to(32).zeros(64), {"tensor 1 of 1", "tensor's name"});
    }
}

TEST_F(GgufReaderTest, ReportsEveryBadTensorAtOnce) {
    Bytes file = header(4, 0);
    add_tensor(file, "zero", {0});
    add_tensor(file, "good", {8}, kF32, 0);
    add_tensor(file, "odd", {33}, kQ4, 32);
    add_tensor(file, "astray", {8}, kF32, 33).pad_to(32).zeros(256);
    expect_malformed(file, {"3 problems", "'zero'", "'odd'", "'astray'"});
}

TEST_F(GgufReaderTest, ListsTenProblemsAndCountsTheRest) {
    Bytes file = header(14, 0);
    for (int i = 0; i < 14; ++i) add_tensor(file, fmt::format("t{}", i), {0});
    expect_malformed(file.pad_to(32).zeros(64), {"14 problems", "'t9'", "and 4 more"});
    try {
        read(file);
    } catch (const Error& error) {
        EXPECT_EQ(std::string_view(error.what()).find("'t10'"), std::string_view::npos);
    }
}

TEST_F(GgufReaderTest, EscapesWhatATerminalWouldObey) {
    Bytes file = header(1, 0);
    expect_malformed(add_tensor(file, "\033[2J\xff", {0}).pad_to(32).zeros(64), {"'\\x1b[2J\\xff'"});
}

TEST_F(GgufReaderTest, CostsNoMoreThanTheFileForVeryManyKeys) {
    Bytes file = header(0, 50'000);
    for (int i = 0; i < 50'000; ++i) file.text(fmt::format("k{}", i)).u32(GGUF_TYPE_UINT8).u8(1);
    EXPECT_EQ(read(file).metadata().entries().size(), 50'000u);  // quadratic work would take minutes
}

}  // namespace
}  // namespace plasticity
