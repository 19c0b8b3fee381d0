#include "io/gguf_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "core/checked.h"
#include "core/error.h"
#include "io/gguf_types.h"
#include "io/header_cursor.h"
#include "io/printable.h"
#include "io/problem_list.h"

namespace plasticity {
namespace {

// Far above any real model (headers reach some 20 MB, mostly vocabulary); they bound what a hostile file can cost.
constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{128} << 20;
constexpr std::uint64_t kMaxKeys = std::uint64_t{1} << 20;
constexpr std::uint64_t kMaxTensors = std::uint64_t{1} << 20;
constexpr std::uint64_t kMaxKeyBytes = 65535;  // the format's own limit

constexpr std::uint64_t kSmallestKey = 8 + 1 + 4 + 1;             // length, one byte, type, an 8-bit value
constexpr std::uint64_t kSmallestTensor = 8 + 1 + 4 + 8 + 4 + 8;  // length, one byte, n_dims, one dim, type, offset

/// The two counts of the fixed part; they are checked once it is known how much follows.
struct Preamble {
    std::uint64_t n_tensors = 0;
    std::uint64_t n_keys = 0;
};

void check_version(HeaderCursor& in) {
    const auto version = in.number<std::uint32_t>("version");
    if (version == 2 || version == 3) return;
    if (version == 1) in.fail("GGUF version 1 is not supported; expected 2 or 3: convert the model again");
    if (version != 0 && (version & 0xffff) == 0)
        in.fail(fmt::format("version {:#010x}: the file is big-endian; convert it to little-endian", version));
    in.fail(fmt::format("GGUF version {}; expected 2 or 3: {}", version,
                        version == 0 ? "the file is damaged" : "the file is newer than this program"));
}

Preamble read_preamble(HeaderCursor& in) {
    std::array<char, 4> magic{};
    in.read(std::as_writable_bytes(std::span(magic)), "magic");
    const std::string_view text(magic.data(), magic.size());
    if (text != "GGUF") in.fail(fmt::format("magic {}; expected 'GGUF': this is no GGUF file", printable(text)));
    check_version(in);

    Preamble preamble;
    preamble.n_tensors = in.count("tensors", kSmallestTensor, kMaxTensors);
    preamble.n_keys = in.count("key-value pairs", kSmallestKey, kMaxKeys);
    return preamble;
}

/// A name is one line of text in every tool, and C strings in ggml: no NUL.
void require_name(const HeaderCursor& in, std::string_view what, const std::string& name) {
    if (name.empty()) in.fail(fmt::format("{} is empty", what));
    if (name.find('\0') != std::string::npos) in.fail(fmt::format("{} {} holds a NUL byte", what, printable(name)));
}

template <typename T>
T read_scalar(HeaderCursor& in) {
    if constexpr (std::is_same_v<T, std::string>) {
        return in.text("string", kMaxHeaderBytes);
    } else if constexpr (std::is_same_v<T, bool>) {
        const auto byte = in.number<std::uint8_t>("boolean");
        if (byte > 1) in.fail(fmt::format("boolean of value {}; expected 0 or 1", byte));
        return byte == 1;
    } else {
        return in.number<T>("value");
    }
}

template <typename T>
std::vector<T> read_elements(HeaderCursor& in) {
    constexpr std::uint64_t kSmallest = std::is_same_v<T, std::string> ? 8 : sizeof(T);
    const std::uint64_t n = in.count("array elements", kSmallest, kMaxHeaderBytes);
    std::vector<T> elements;
    if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, bool>) {
        elements.reserve(static_cast<std::size_t>(n));  // at most four times the rest of the header
        for (std::uint64_t i = 0; i < n; ++i) elements.push_back(read_scalar<T>(in));
    } else {
        elements.resize(static_cast<std::size_t>(n));
        in.read(std::as_writable_bytes(std::span(elements)), "array");
    }
    return elements;
}

GgufArray read_array(HeaderCursor& in) {
    const auto type = in.number<std::uint32_t>("array's element type");
    if (type == GGUF_TYPE_ARRAY) in.fail("array of arrays; expected an array of scalars or strings");
    GgufArray array;
    const bool is_known =
        with_gguf_scalar(type, [&]<typename T>(std::type_identity<T>) { array = read_elements<T>(in); });
    if (!is_known) in.fail(fmt::format("array elements of type {}; expected 0 to {}", type, GGUF_TYPE_COUNT - 1));
    return array;
}

GgufValue read_value(HeaderCursor& in) {
    const auto type = in.number<std::uint32_t>("value's type");
    if (type == GGUF_TYPE_ARRAY) return GgufValue(read_array(in));
    GgufValue value;
    const bool is_known =
        with_gguf_scalar(type, [&]<typename T>(std::type_identity<T>) { value.emplace<T>(read_scalar<T>(in)); });
    if (!is_known) in.fail(fmt::format("value of type {}; expected 0 to {}", type, GGUF_TYPE_COUNT - 1));
    return value;
}

GgufMetadata read_metadata(HeaderCursor& in, std::uint64_t n_keys) {
    GgufMetadata metadata;
    for (std::uint64_t i = 0; i < n_keys; ++i) {
        in.enter(fmt::format("key-value pair {} of {}", i + 1, n_keys));
        std::string key = in.text("key", kMaxKeyBytes);
        require_name(in, "key", key);
        in.enter(fmt::format("key {}", printable(key)));
        if (metadata.contains(key)) in.fail("the key appears twice");
        GgufValue value = read_value(in);
        metadata.set(std::move(key), std::move(value));
    }
    return metadata;
}

std::uint64_t alignment_of(const HeaderCursor& in, const GgufMetadata& metadata) {
    const GgufValue* value = metadata.find(kGgufAlignmentKey);
    if (value == nullptr) return GGUF_DEFAULT_ALIGNMENT;
    const auto* alignment = std::get_if<std::uint32_t>(value);
    if (alignment == nullptr)
        in.fail(fmt::format("key '{}' is {}; expected u32", kGgufAlignmentKey, gguf_type_text(*value)));
    if (!is_gguf_alignment(*alignment))
        in.fail(fmt::format("key '{}' is {}; expected a power of two from 8 to 65536", kGgufAlignmentKey, *alignment));
    return *alignment;
}

/// One tensor info as it stands in the file; `offset` still counts from the start of the data.
///
///     u64 length | name | u32 n_dims | i64 dims[n_dims] | u32 type | u64 offset
GgufTensor read_tensor_info(HeaderCursor& in, ProblemList& problems) {
    GgufTensor tensor;
    tensor.name = in.text("tensor's name", GGML_MAX_NAME - 1);
    require_name(in, "tensor's name", tensor.name);
    in.enter(fmt::format("tensor {}", printable(tensor.name)));

    const auto n_dims = in.number<std::uint32_t>("number of dimensions");
    if (n_dims > GGML_MAX_DIMS) {  // nothing after this can be located
        problems.add(
            fmt::format("tensor {}: {} dimensions; expected 1 to {}", printable(tensor.name), n_dims, GGML_MAX_DIMS));
        problems.throw_if_any();
    }
    tensor.n_dims = static_cast<int>(n_dims);
    for (std::size_t i = 0; i < n_dims; ++i) tensor.dims[i] = in.number<std::int64_t>("dimension");

    const auto type = in.number<std::uint32_t>("type");
    tensor.offset = in.number<std::uint64_t>("offset");
    const GgufStoredSize size = gguf_stored_size(type, n_dims, tensor.dims);
    if (!size.problem.empty()) {
        problems.add(fmt::format("tensor {}: {}", printable(tensor.name), size.problem));
    } else {
        tensor.type = static_cast<ggml_type>(type);
        tensor.bytes = size.bytes;
    }
    return tensor;
}

/// Turns offsets within the data into offsets within the file.
void place_tensors(std::vector<GgufTensor>& tensors, std::uint64_t data_start, std::uint64_t alignment,
                   std::uint64_t file_bytes, ProblemList& problems) {
    for (GgufTensor& tensor : tensors) {
        if (tensor.offset % alignment != 0)
            problems.add(fmt::format("tensor {}: offset {}; expected a multiple of {}", printable(tensor.name),
                                     tensor.offset, alignment));
        const auto start = checked_add(data_start, tensor.offset);
        const auto end = start ? checked_add(*start, tensor.bytes) : std::nullopt;
        if (!end || *end > file_bytes)
            problems.add(
                fmt::format("tensor {}: {} bytes at offset {} of the data end beyond the file of {} bytes; is it "
                            "truncated?",
                            printable(tensor.name), tensor.bytes, tensor.offset, file_bytes));
        tensor.offset = start.value_or(std::numeric_limits<std::uint64_t>::max());
    }
}

void check_overlaps(const std::vector<GgufTensor>& tensors, ProblemList& problems) {
    std::vector<const GgufTensor*> by_offset;
    by_offset.reserve(tensors.size());
    for (const GgufTensor& tensor : tensors) by_offset.push_back(&tensor);
    std::stable_sort(by_offset.begin(), by_offset.end(),
                     [](const GgufTensor* a, const GgufTensor* b) { return a->offset < b->offset; });
    for (std::size_t i = 1; i < by_offset.size(); ++i) {
        const GgufTensor& before = *by_offset[i - 1];
        if (by_offset[i]->offset < before.offset + before.bytes)
            problems.add(
                fmt::format("tensor {}: overlaps tensor {}", printable(by_offset[i]->name), printable(before.name)));
    }
}

}  // namespace

GgufReader::GgufReader(const std::filesystem::path& path) : file_(path) {
    HeaderCursor in(file_, kMaxHeaderBytes);
    const Preamble preamble = read_preamble(in);
    metadata_ = read_metadata(in, preamble.n_keys);
    alignment_ = alignment_of(in, metadata_);

    ProblemList problems(path.string());
    for (std::uint64_t i = 0; i < preamble.n_tensors; ++i) {
        in.enter(fmt::format("tensor {} of {}", i + 1, preamble.n_tensors));
        GgufTensor tensor = read_tensor_info(in, problems);
        if (index_.try_emplace(tensor.name, tensors_.size()).second)
            tensors_.push_back(std::move(tensor));
        else
            problems.add(fmt::format("tensor {}: the name appears twice", printable(tensor.name)));
    }
    place_tensors(tensors_, align_up(in.position(), alignment_), alignment_, file_.size(), problems);
    if (problems.empty()) check_overlaps(tensors_, problems);  // sizes and sums are sound only now
    problems.throw_if_any();
}

const GgufTensor* GgufReader::find(std::string_view name) const {
    const auto place = index_.find(name);
    return place == index_.end() ? nullptr : &tensors_[place->second];
}

void GgufReader::read(const GgufTensor& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const {
    if (byte_offset > tensor.bytes || out.size() > tensor.bytes - byte_offset)
        throw Error(ErrorKind::kInternal,
                    fmt::format("{}: {} bytes at byte {} of tensor {} asked for; it holds {}", file_.path().string(),
                                out.size(), byte_offset, printable(tensor.name), tensor.bytes));
    file_.read(tensor.offset + byte_offset, out);
}

}  // namespace plasticity
