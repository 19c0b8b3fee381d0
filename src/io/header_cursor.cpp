#include "io/header_cursor.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/error.h"

namespace plasticity {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are read as they lie in the file");

constexpr std::uint64_t kBufferBytes = 64 * 1024;

}  // namespace

HeaderCursor::HeaderCursor(const InputFile& file, std::uint64_t max_bytes)
    : file_(file), end_(std::min(file.size(), max_bytes)) {}

void HeaderCursor::fail(std::string_view problem) const {
    throw Error(ErrorKind::kMalformed,
                fmt::format("{}: {}, at byte {}: {}", file_.path().string(), where_, position_, problem));
}

void HeaderCursor::fill() {
    buffer_.resize(static_cast<std::size_t>(std::min(kBufferBytes, remaining())));
    file_.read(position_, buffer_);
    taken_ = 0;
}

void HeaderCursor::read(std::span<std::byte> out, std::string_view what) {
    if (out.size() > remaining())
        fail(fmt::format(
            "{} takes {} bytes, but only {} are left{}", what, out.size(), remaining(),
            end_ < file_.size() ? " of the longest header this program reads" : "; is the file truncated?"));
    while (!out.empty()) {
        if (taken_ == buffer_.size()) fill();
        const std::size_t n = std::min(out.size(), buffer_.size() - taken_);
        std::memcpy(out.data(), buffer_.data() + taken_, n);
        taken_ += n;
        position_ += n;
        out = out.subspan(n);
    }
}

std::string HeaderCursor::text(std::string_view what, std::uint64_t max_bytes) {
    const auto length = number<std::uint64_t>(what);
    if (length > max_bytes || length > remaining())
        fail(fmt::format("{} claims {} bytes; expected at most {}", what, length, std::min(max_bytes, remaining())));
    std::string out(static_cast<std::size_t>(length), '\0');
    read(std::as_writable_bytes(std::span(out)), what);
    return out;
}

std::uint64_t HeaderCursor::count(std::string_view what, std::uint64_t smallest, std::uint64_t max_count) {
    const auto claimed = number<std::uint64_t>(what);
    const std::uint64_t possible = std::min(max_count, remaining() / smallest);
    if (claimed > possible)
        fail(fmt::format("{} {}; expected at most {}, given what is left", claimed, what, possible));
    return claimed;
}

}  // namespace plasticity
