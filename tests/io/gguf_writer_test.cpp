#include "io/gguf_writer.h"

#include <gguf.h>
#include <gtest/gtest.h>

#include <memory>

#include "core/error.h"
#include "io/file_bytes.h"
#include "io/gguf_reader.h"

namespace plasticity {
namespace {

using test::expect_error;
using test::names_in;
using test::TempDir;

GgufLayout layout_of_every_kind() {
    GgufLayout layout;
    GgufMetadata& metadata = layout.metadata;
    metadata.set("general.architecture", std::string("llama"));
    metadata.set("u8", std::uint8_t{1});
    metadata.set("i8", std::int8_t{-1});
    metadata.set("u16", std::uint16_t{2});
    metadata.set("i16", std::int16_t{-2});
    metadata.set("u32", std::uint32_t{3});
    metadata.set("i32", std::int32_t{-3});
    metadata.set("f32", 0.5f);
    metadata.set("bool", true);
    metadata.set("u64", std::uint64_t{1} << 40);
    metadata.set("i64", std::int64_t{-4});
    metadata.set("f64", 0.25);
    metadata.set("words", GgufArray(std::vector<std::string>{"", "one", "zwölf"}));
    metadata.set("flags", GgufArray(std::vector<bool>{true, false, true}));
    metadata.set("reals", GgufArray(std::vector<double>{1, 2}));
    metadata.set("wide", GgufArray(std::vector<std::uint64_t>{5, 6, 7}));
    metadata.set("none", GgufArray(std::vector<std::int32_t>{}));
    layout.tensors = {{.name = "a", .type = GGML_TYPE_F32, .n_dims = 1, .dims = {5, 1, 1, 1}},
                      {.name = "b", .type = GGML_TYPE_Q4_0, .n_dims = 2, .dims = {64, 3, 1, 1}},
                      {.name = "c", .type = GGML_TYPE_F16, .n_dims = 4, .dims = {3, 2, 2, 2}}};
    return layout;
}

/// Bytes that differ from tensor to tensor and from place to place.
std::vector<std::byte> data_of(const GgufTensorSpec& tensor) {
    std::vector<std::byte> data(tensor.bytes());
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7 + tensor.name[0]);
    return data;
}

void write_all(const std::filesystem::path& path, const GgufLayout& layout) {
    GgufWriter writer(path, layout, Overwrite::kReplace);
    for (const GgufTensorSpec& tensor : layout.tensors) writer.write(tensor.name, data_of(tensor));
    writer.finish();
}

/// The same file as ggml itself writes it.
std::string bytes_from_ggml(const GgufLayout& layout, const std::filesystem::path& own_file,
                            const std::filesystem::path& path) {
    ggml_context* tensors = nullptr;
    const std::unique_ptr<gguf_context, void (*)(gguf_context*)> source(
        gguf_init_from_file(own_file.c_str(), {.no_alloc = false, .ctx = &tensors}), gguf_free);
    const std::unique_ptr<ggml_context, void (*)(ggml_context*)> owner(tensors, ggml_free);
    if (!source) return "ggml does not read the file";
    const std::unique_ptr<gguf_context, void (*)(gguf_context*)> copy(gguf_init_empty(), gguf_free);
    gguf_set_kv(copy.get(), source.get());
    for (const GgufTensorSpec& tensor : layout.tensors)
        gguf_add_tensor(copy.get(), ggml_get_tensor(tensors, tensor.name.c_str()));
    if (!gguf_write_to_file(copy.get(), path.c_str(), false)) return "ggml does not write the file";
    return test::read_bytes(path);
}

TEST(GgufWriter, WritesByteForByteWhatGgmlWrites) {
    const TempDir dir;
    const GgufLayout layout = layout_of_every_kind();
    write_all(dir / "own.gguf", layout);
    EXPECT_EQ(bytes_from_ggml(layout, dir / "own.gguf", dir / "ggml.gguf"), test::read_bytes(dir / "own.gguf"));
}

TEST(GgufWriter, KnowsItsSizeBeforehand) {
    const TempDir dir;
    GgufLayout layout = layout_of_every_kind();
    for (const std::uint32_t alignment : {8u, 32u, 4096u}) {
        layout.alignment = alignment;
        const std::filesystem::path path = dir / (std::to_string(alignment) + ".gguf");
        write_all(path, layout);
        EXPECT_EQ(std::filesystem::file_size(path), layout.file_bytes());
        const GgufReader file(path);
        EXPECT_EQ(file.alignment(), alignment);
        EXPECT_EQ(file.tensors().front().offset, layout.header_bytes());
    }
}

TEST(GgufWriter, ReadsBackAsItWasLaidOut) {
    const TempDir dir;
    const GgufLayout layout = layout_of_every_kind();
    write_all(dir / "file.gguf", layout);
    const GgufReader file(dir / "file.gguf");
    EXPECT_EQ(file.metadata().entries(), layout.metadata.entries());
    ASSERT_EQ(file.tensors().size(), layout.tensors.size());
    for (std::size_t i = 0; i < layout.tensors.size(); ++i) {
        const GgufTensor& tensor = file.tensors()[i];
        EXPECT_EQ(tensor.name, layout.tensors[i].name);
        EXPECT_EQ(tensor.type, layout.tensors[i].type);
        EXPECT_EQ(tensor.n_dims, layout.tensors[i].n_dims);
        EXPECT_EQ(tensor.dims, layout.tensors[i].dims);
        std::vector<std::byte> data(tensor.bytes);
        file.read(tensor, 0, data);
        EXPECT_EQ(data, data_of(layout.tensors[i]));
    }
}

TEST(GgufWriter, TakesATensorInPieces) {
    const TempDir dir;
    const GgufLayout layout = layout_of_every_kind();
    write_all(dir / "whole.gguf", layout);
    GgufWriter writer(dir / "pieces.gguf", layout, Overwrite::kRefuse);
    for (const GgufTensorSpec& tensor : layout.tensors) {
        const std::vector<std::byte> data = data_of(tensor);
        for (std::size_t i = 0; i < data.size(); i += 7)
            writer.write(tensor.name, std::span(data).subspan(i, std::min<std::size_t>(7, data.size() - i)));
    }
    writer.finish();
    EXPECT_EQ(test::read_bytes(dir / "pieces.gguf"), test::read_bytes(dir / "whole.gguf"));
}

TEST(GgufWriter, WritesAFileWithoutTensors) {
    const TempDir dir;
    GgufLayout layout;
    layout.metadata.set("k", std::uint8_t{1});
    write_all(dir / "file.gguf", layout);
    EXPECT_EQ(std::filesystem::file_size(dir / "file.gguf"), layout.file_bytes());
    EXPECT_EQ(GgufReader(dir / "file.gguf").metadata().integer("k"), 1);
}

TEST(GgufWriter, LeavesNothingWhereTensorsAreMissing) {
    const TempDir dir;
    const GgufLayout layout = layout_of_every_kind();
    {
        GgufWriter writer(dir / "file.gguf", layout, Overwrite::kRefuse);
        writer.write("a", data_of(layout.tensors[0]));
        expect_error(ErrorKind::kInternal, {"'b'", "2 of 3"}, [&] { writer.finish(); });
    }
    EXPECT_TRUE(names_in(dir.path()).empty());
}

TEST(GgufWriter, RefusesTensorsOutOfTurnOrTooLong) {
    const TempDir dir;
    const GgufLayout layout = layout_of_every_kind();
    GgufWriter writer(dir / "file.gguf", layout, Overwrite::kRefuse);
    expect_error(ErrorKind::kInternal, {"'b' arrives", "expected 'a'"},
                 [&] { writer.write("b", data_of(layout.tensors[1])); });
    const std::vector<std::byte> too_long(21);
    expect_error(ErrorKind::kInternal, {"'a'", "21 bytes", "at most 20"}, [&] { writer.write("a", too_long); });
}

TEST(GgufWriter, RefusesLayoutsThatNoReaderTakes) {
    const TempDir dir;
    const auto refuse = [&](const std::string& part, const auto& spoil) {
        GgufLayout layout = layout_of_every_kind();
        spoil(layout);
        expect_error(ErrorKind::kInternal, {part},
                     [&] { GgufWriter writer(dir / "file.gguf", layout, Overwrite::kRefuse); });
    };
    refuse("twice", [](GgufLayout& layout) { layout.tensors[1].name = "a"; });
    refuse("tensor name", [](GgufLayout& layout) { layout.tensors[1].name.clear(); });
    refuse("tensor name", [](GgufLayout& layout) { layout.tensors[1].name.assign(GGML_MAX_NAME, 'n'); });
    refuse("multiple of 32", [](GgufLayout& layout) { layout.tensors[1].dims[0] = 63; });
    refuse("at least 1", [](GgufLayout& layout) { layout.tensors[0].dims[0] = 0; });
    refuse("at least 1", [](GgufLayout& layout) { layout.tensors[0].dims[1] = 2; });  // beyond n_dims
    refuse("alignment 13", [](GgufLayout& layout) { layout.alignment = 13; });
    refuse("general.alignment",
           [](GgufLayout& layout) { layout.metadata.set("general.alignment", std::uint32_t{64}); });
    refuse("key ''", [](GgufLayout& layout) { layout.metadata.set("", true); });
    EXPECT_TRUE(names_in(dir.path()).empty());
}

}  // namespace
}  // namespace plasticity
