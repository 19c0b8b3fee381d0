#include "io/safetensors_writer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/checked.h"
#include "core/error.h"
#include "io/safetensors_header.h"
#include "io/safetensors_reader.h"

namespace plasticity {
namespace {

[[noreturn]] void throw_misuse(const std::string& message) {
    throw Error(ErrorKind::kInternal, "safetensors writer: " + message);
}

std::uint64_t data_bytes_of(const std::vector<SafetensorsSpec>& tensors) {
    std::uint64_t total = 0;
    for (const SafetensorsSpec& tensor : tensors) {
        const auto sum = checked_add(total, tensor.bytes());
        if (!sum) throw_misuse("the tensors take 2^64 bytes or more");
        total = *sum;
    }
    return total;
}

std::string json_string(const std::string& text) {
    try {
        return nlohmann::json(text).dump();
    } catch (const nlohmann::json::exception&) {
        throw_misuse("a tensor's name is not valid UTF-8");
    }
}

/// u64 length | JSON, blanks up to a multiple of 8 so that the data is aligned. Offsets follow the given order.
std::string header_of(const std::vector<SafetensorsSpec>& tensors) {
    // transformers refuses files that do not say which framework's they are.
    std::string text = R"({"__metadata__":{"format":"pt"})";
    std::set<std::string_view> names;
    std::uint64_t offset = 0;
    for (const SafetensorsSpec& tensor : tensors) {
        if (tensor.name.empty() || tensor.name == "__metadata__" || !names.insert(tensor.name).second)
            throw_misuse(fmt::format("tensor name '{}' is empty, reserved or laid out twice", tensor.name));
        const std::uint64_t end = offset + tensor.bytes();
        const nlohmann::ordered_json entry{
            {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
        text += fmt::format(",{}:{}", json_string(tensor.name), entry.dump());
        offset = end;
    }
    text += '}';
    text.resize(align_up(text.size(), 8), ' ');
    if (text.size() > kMaxSafetensorsHeaderBytes)
        throw_misuse(fmt::format("the header exceeds {} bytes", kMaxSafetensorsHeaderBytes));

    const std::uint64_t length = text.size();
    std::string out(reinterpret_cast<const char*>(&length), sizeof length);
    return out + text;
}

}  // namespace

std::uint64_t SafetensorsSpec::bytes() const {
    std::uint64_t total = safetensors_element_bytes(dtype);
    if (total == 0) throw_misuse(fmt::format("tensor '{}': dtype '{}' is none of the format's", name, dtype));
    for (const std::int64_t dim : shape) {
        const auto product = dim < 0 ? std::nullopt : checked_multiply(total, static_cast<std::uint64_t>(dim));
        if (!product) throw_misuse(fmt::format("tensor '{}': a dimension of {} in an impossible shape", name, dim));
        total = *product;
    }
    return total;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& target, std::vector<SafetensorsSpec> tensors,
                                     Overwrite overwrite)
    : tensors_(std::move(tensors)),
      header_(header_of(tensors_)),
      file_(target, overwrite, header_.size() + data_bytes_of(tensors_)),
      expected_(data_bytes_of(tensors_)) {
    file_.write(std::as_bytes(std::span(header_)));
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
    if (bytes.size() > expected_ - written_)
        throw_misuse(fmt::format("{} bytes arrive; expected at most {}", bytes.size(), expected_ - written_));
    file_.write(bytes);
    written_ += bytes.size();
}

void SafetensorsWriter::finish() {
    if (written_ != expected_) throw_misuse(fmt::format("{} of {} bytes have arrived", written_, expected_));
    file_.commit();
}

}  // namespace plasticity
