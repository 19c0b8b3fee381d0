#include "io/safetensors_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>
#include <tuple>
#include <utility>

#include "core/checked.h"
#include "core/error.h"
#include "io/header_cursor.h"
#include "io/printable.h"
#include "io/problem_list.h"
#include "io/safetensors_header.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kLengthBytes = 8;

struct Dtype {
    std::string_view name;
    std::uint64_t bytes;
};

// Source: safetensors/src/tensor.rs, enum Dtype. The types below one byte (F4, F6_*) are no weights that this program
// reads.
constexpr std::array kDtypes{
    Dtype{"BOOL", 1}, Dtype{"U8", 1},  Dtype{"I8", 1},  Dtype{"F8_E5M2", 1}, Dtype{"F8_E4M3", 1}, Dtype{"F8_E8M0", 1},
    Dtype{"I16", 2},  Dtype{"U16", 2}, Dtype{"F16", 2}, Dtype{"BF16", 2},    Dtype{"I32", 4},     Dtype{"U32", 4},
    Dtype{"F32", 4},  Dtype{"F64", 8}, Dtype{"I64", 8}, Dtype{"U64", 8},     Dtype{"C64", 8},
};

std::string read_header_text(HeaderCursor& in) {
    in.enter("safetensors header");
    const auto length = in.number<std::uint64_t>("header length");
    if (length > kMaxSafetensorsHeaderBytes)
        in.fail(fmt::format("length {}; expected at most {}: is this a safetensors file?", length,
                            kMaxSafetensorsHeaderBytes));
    if (length > in.remaining())
        in.fail(fmt::format("length {}, but only {} bytes are left; is the file truncated?", length, in.remaining()));
    std::string text(static_cast<std::size_t>(length), '\0');
    in.read(std::as_writable_bytes(std::span(text)), "header");
    if (!text.starts_with('{')) in.fail("expected JSON starting with '{': this is no safetensors file");
    return text;
}

/// Bytes that dtype and shape call for, or the problem.
std::pair<std::uint64_t, std::string> stored_bytes(const SafetensorsRecord& record) {
    std::uint64_t bytes = safetensors_element_bytes(record.dtype);
    if (bytes == 0) {
        std::vector<std::string_view> known;
        for (const Dtype& dtype : kDtypes) known.push_back(dtype.name);
        return {0, fmt::format("dtype {}; expected one of {}", printable(record.dtype), fmt::join(known, ", "))};
    }
    constexpr auto kMaxDim = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    const bool is_empty = std::find(record.shape.begin(), record.shape.end(), 0u) != record.shape.end();
    for (const std::uint64_t dim : record.shape) {
        const auto product = is_empty ? std::optional<std::uint64_t>(0) : checked_multiply(bytes, dim);
        if (dim > kMaxDim || !product || *product > kMaxDim)
            return {0, fmt::format("shape of {} dimensions takes 2^63 bytes or more", record.shape.size())};
        bytes = *product;
    }
    return {bytes, {}};
}

void check_record(const SafetensorsRecord& record, ProblemList& problems) {
    const auto add = [&](const std::string& problem) {
        problems.add(fmt::format("tensor {}: {}", printable(record.name), problem));
    };
    if (record.name.empty() || record.name.find('\0') != std::string::npos)
        add("the name is empty or holds a NUL byte");
    if (record.begin > record.end)
        return add(fmt::format("data_offsets [{}, {}] are reversed", record.begin, record.end));
    const auto [bytes, problem] = stored_bytes(record);
    if (!problem.empty()) return add(problem);
    if (bytes != record.end - record.begin)
        add(fmt::format("data_offsets [{}, {}] span {} bytes; expected {} by dtype and shape", record.begin, record.end,
                        record.end - record.begin, bytes));
}

/// Every byte of the data belongs to exactly one tensor.
void check_coverage(const std::vector<SafetensorsRecord>& records, std::uint64_t data_bytes, ProblemList& problems) {
    std::uint64_t covered = 0;
    for (const SafetensorsRecord& record : records) {
        if (record.begin != covered)
            problems.add(fmt::format("tensor {}: starts at byte {} of the data, the tensor before ends at {}: {}",
                                     printable(record.name), record.begin, covered,
                                     record.begin < covered ? "they overlap" : "there is a hole"));
        if (record.end > data_bytes)
            problems.add(fmt::format("tensor {}: ends at byte {} of the data, which holds {}; is the file truncated?",
                                     printable(record.name), record.end, data_bytes));
        covered = std::max(covered, record.end);
    }
    if (covered < data_bytes)
        problems.add(fmt::format("{} bytes follow the last tensor; expected none", data_bytes - covered));
}

}  // namespace

std::uint64_t safetensors_element_bytes(std::string_view dtype) {
    const auto* known =
        std::find_if(kDtypes.begin(), kDtypes.end(), [&](const Dtype& candidate) { return candidate.name == dtype; });
    return known == kDtypes.end() ? 0 : known->bytes;
}

SafetensorsReader::SafetensorsReader(const std::filesystem::path& path) : file_(path) {
    HeaderCursor in(file_, kLengthBytes + kMaxSafetensorsHeaderBytes);
    SafetensorsHeader header = parse_safetensors_header(read_header_text(in), path.string());
    metadata_ = std::move(header.metadata);
    std::vector<SafetensorsRecord>& records = header.tensors;
    std::sort(records.begin(), records.end(), [](const SafetensorsRecord& a, const SafetensorsRecord& b) {
        return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });

    ProblemList problems(path.string());
    const std::uint64_t data_start = in.position();
    for (const SafetensorsRecord& record : records) check_record(record, problems);
    check_coverage(records, file_.size() - data_start, problems);
    problems.throw_if_any();

    entries_.reserve(records.size());
    for (SafetensorsRecord& record : records) {
        index_.emplace(record.name, entries_.size());
        entries_.push_back({std::move(record.name), std::move(record.dtype),
                            std::vector<std::int64_t>(record.shape.begin(), record.shape.end()),
                            data_start + record.begin, record.end - record.begin});
    }
}

const SafetensorsEntry* SafetensorsReader::find(std::string_view name) const {
    const auto place = index_.find(name);
    return place == index_.end() ? nullptr : &entries_[place->second];
}

void SafetensorsReader::read(const SafetensorsEntry& entry, std::uint64_t byte_offset, std::span<std::byte> out) const {
    if (byte_offset > entry.bytes || out.size() > entry.bytes - byte_offset)
        throw Error(ErrorKind::kInternal,
                    fmt::format("{}: {} bytes at byte {} of tensor {} asked for; it holds {}", file_.path().string(),
                                out.size(), byte_offset, printable(entry.name), entry.bytes));
    file_.read(entry.offset + byte_offset, out);
}

}  // namespace plasticity
