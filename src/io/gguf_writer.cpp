#include "io/gguf_writer.h"

#include <fmt/format.h>

#include <bit>
#include <set>
#include <string_view>
#include <utility>

#include "core/checked.h"
#include "core/error.h"
#include "core/hash.h"
#include "io/gguf_types.h"

namespace plasticity {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

constexpr std::uint32_t kVersion = GGUF_VERSION;
static_assert(kVersion == 3);

/// Of a tensor that is larger: so much is done again, at most, after a process was killed.
constexpr std::uint64_t kBytesBetweenMarks = std::uint64_t{16} << 20;

[[noreturn]] void throw_internal(const std::string& message) {
    throw Error(ErrorKind::kInternal, "GGUF writer: " + message);
}

/// Two sinks of the same header: one counts, so that a layout knows its size without being serialised; one keeps.
struct ByteCounter {
    std::uint64_t bytes = 0;
    void put(const void*, std::size_t n) { bytes += n; }
};

struct ByteBuffer {
    std::string bytes;
    void put(const void* data, std::size_t n) { bytes.append(static_cast<const char*>(data), n); }
};

template <typename T, typename Sink>
void put_scalar(Sink& out, const T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
        put_scalar(out, std::uint64_t{value.size()});
        out.put(value.data(), value.size());
    } else if constexpr (std::is_same_v<T, bool>) {
        put_scalar(out, static_cast<std::uint8_t>(value));
    } else {
        static_assert(std::is_arithmetic_v<T>);
        out.put(&value, sizeof value);
    }
}

template <typename Sink>
void put_array(Sink& out, const GgufArray& array) {
    put_scalar(out, static_cast<std::uint32_t>(gguf_element_type(array)));
    std::visit(
        [&]<typename T>(const std::vector<T>& elements) {
            put_scalar(out, std::uint64_t{elements.size()});
            if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, bool>)
                for (const T& element : elements) put_scalar(out, element);
            else
                out.put(elements.data(), elements.size() * sizeof(T));
        },
        array);
}

template <typename Sink>
void put_entry(Sink& out, const std::string& key, const GgufValue& value) {
    put_scalar(out, key);
    put_scalar(out, static_cast<std::uint32_t>(value.index()));
    std::visit(
        [&]<typename T>(const T& held) {
            if constexpr (std::is_same_v<T, GgufArray>)
                put_array(out, held);
            else
                put_scalar(out, held);
        },
        value);
}

bool adds_alignment_key(const GgufLayout& layout) {
    return layout.alignment != GGUF_DEFAULT_ALIGNMENT && !layout.metadata.contains(kGgufAlignmentKey);
}

/// The header as ggml writes it, before its padding. Layout: see GgufReader; a tensor info is
///
///     u64 length | name | u32 n_dims | i64 dims[n_dims] | u32 type | u64 offset from the start of the data
template <typename Sink>
void put_header(Sink& out, const GgufLayout& layout) {
    const auto& entries = layout.metadata.entries();
    const bool adds_alignment = adds_alignment_key(layout);
    out.put(GGUF_MAGIC, 4);
    put_scalar(out, kVersion);
    put_scalar(out, std::uint64_t{layout.tensors.size()});
    put_scalar(out, std::uint64_t{entries.size() + (adds_alignment ? 1 : 0)});
    for (const auto& [key, value] : entries) put_entry(out, key, value);
    if (adds_alignment) put_entry(out, kGgufAlignmentKey, GgufValue(layout.alignment));

    std::uint64_t offset = 0;
    for (const GgufTensorSpec& tensor : layout.tensors) {
        put_scalar(out, tensor.name);
        put_scalar(out, static_cast<std::uint32_t>(tensor.n_dims));
        for (int i = 0; i < tensor.n_dims; ++i) put_scalar(out, tensor.dims[static_cast<std::size_t>(i)]);
        put_scalar(out, static_cast<std::uint32_t>(tensor.type));
        put_scalar(out, offset);
        offset += align_up(tensor.bytes(), layout.alignment);
    }
}

std::string header_of(const GgufLayout& layout) {
    ByteBuffer header;
    put_header(header, layout);
    return std::move(header.bytes);
}

void require_metadata(const GgufLayout& layout) {
    if (!is_gguf_alignment(layout.alignment))
        throw_internal(fmt::format("alignment {}; expected a power of two from 8 to 65536", layout.alignment));
    for (const auto& [key, value] : layout.metadata.entries())
        if (key.empty() || key.size() > 65535 || key.find('\0') != std::string::npos)
            throw_internal(fmt::format("key '{}' of {} bytes; expected 1 to 65535 without NUL", key, key.size()));
    if (const GgufValue* stated = layout.metadata.find(kGgufAlignmentKey))
        if (*stated != GgufValue(layout.alignment))
            throw_internal(fmt::format("metadata's {} is not the layout's {}", kGgufAlignmentKey, layout.alignment));
}

/// What this writes must be what any reader takes, this project's and stock ones.
GgufLayout require_writable(GgufLayout layout) {
    require_metadata(layout);
    std::set<std::string_view> names;
    std::uint64_t total = 0;
    for (const GgufTensorSpec& tensor : layout.tensors) {
        if (tensor.name.empty() || tensor.name.size() >= GGML_MAX_NAME || tensor.name.find('\0') != std::string::npos)
            throw_internal(fmt::format("tensor name '{}' of {} bytes; expected 1 to {} without NUL", tensor.name,
                                       tensor.name.size(), GGML_MAX_NAME - 1));
        if (!names.insert(tensor.name).second)
            throw_internal(fmt::format("tensor '{}' is laid out twice", tensor.name));
        const auto sum = checked_add(total, tensor.bytes());
        if (!sum || *sum > (std::uint64_t{1} << 62))
            throw_internal(fmt::format("tensor '{}' takes the file beyond 2^62 bytes", tensor.name));
        total = align_up(*sum, layout.alignment);
    }
    return layout;
}

}  // namespace

std::uint64_t GgufTensorSpec::bytes() const {
    const GgufStoredSize size = gguf_stored_size(type, n_dims, dims);
    if (!size.problem.empty()) throw_internal(fmt::format("tensor '{}': {}", name, size.problem));
    return size.bytes;
}

std::uint64_t GgufLayout::header_bytes() const {
    ByteCounter counter;
    put_header(counter, *this);
    return align_up(counter.bytes, alignment);
}

std::uint64_t GgufLayout::file_bytes() const {
    std::uint64_t total = header_bytes();
    for (const GgufTensorSpec& tensor : tensors) total += align_up(tensor.bytes(), alignment);
    return total;
}

GgufWriter::GgufWriter(const std::filesystem::path& target, GgufLayout layout, const GgufWriterOptions& options)
    : layout_(require_writable(std::move(layout))),
      header_(header_of(layout_)),
      file_(target, {.overwrite = options.overwrite,
                     .expected_bytes = layout_.file_bytes(),
                     .resume_key = options.resume_key.empty() ? "" : options.resume_key + sha256_hex(header_)}) {
    if (file_.written() == 0) {
        file_.write(std::as_bytes(std::span(header_)));
        pad();
        file_.mark();
    }
    header_.clear();
    find_position();
}

/// The first mark stands after the header, every other one after a tensor's padding or within its bytes.
void GgufWriter::find_position() {
    std::uint64_t bytes = file_.written() - layout_.header_bytes();
    while (next_tensor_ < layout_.tensors.size()) {
        const std::uint64_t size = align_up(layout_.tensors[next_tensor_].bytes(), layout_.alignment);
        if (bytes < size) break;
        bytes -= size;
        ++next_tensor_;
    }
    written_of_tensor_ = bytes;
}

void GgufWriter::pad() {
    const std::vector<std::byte> zeros(align_up(file_.written(), layout_.alignment) - file_.written());
    file_.write(zeros);
}

void GgufWriter::write(const std::string& name, std::span<const std::byte> bytes) {
    if (next_tensor_ == layout_.tensors.size())
        throw_internal(fmt::format("tensor '{}' arrives after the last one", name));
    const GgufTensorSpec& tensor = layout_.tensors[next_tensor_];
    if (name != tensor.name) throw_internal(fmt::format("tensor '{}' arrives; expected '{}'", name, tensor.name));
    const std::uint64_t left = tensor.bytes() - written_of_tensor_;
    if (bytes.size() > left)
        throw_internal(fmt::format("tensor '{}': {} bytes arrive; expected at most {}", name, bytes.size(), left));

    file_.write(bytes);
    written_of_tensor_ += bytes.size();
    unmarked_bytes_ += bytes.size();
    const bool is_complete = bytes.size() == left;
    if (is_complete) {
        pad();
        ++next_tensor_;
        written_of_tensor_ = 0;
    }
    if (is_complete || unmarked_bytes_ >= kBytesBetweenMarks) {
        file_.mark();
        unmarked_bytes_ = 0;
    }
}

void GgufWriter::finish() {
    if (next_tensor_ != layout_.tensors.size())
        throw_internal(fmt::format("file finished within tensor '{}', number {} of {}",
                                   layout_.tensors[next_tensor_].name, next_tensor_ + 1, layout_.tensors.size()));
    if (file_.written() != layout_.file_bytes())
        throw_internal(fmt::format("{} bytes written; {} were laid out", file_.written(), layout_.file_bytes()));
    file_.commit();
}

}  // namespace plasticity
