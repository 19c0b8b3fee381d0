#include "verify/stock_logits.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstring>
#include <string_view>

#include "core/error.h"

namespace plasticity {
namespace {

static_assert(std::endian::native == std::endian::little, "codes are read as they lie in the file");

constexpr std::string_view kMagic = "_logits_";
constexpr std::uint64_t kHeaderBytes = 20;
constexpr std::int32_t kLargestCount = 1 << 24;   ///< of tokens a context, a vocabulary or a text may have here
constexpr std::int32_t kFewestTokensOfChunk = 4;  ///< one position is scored then
constexpr std::uint64_t kScaleBytes = 2 * sizeof(float);

template <typename Value>
Value value_at(const InputFile& file, std::uint64_t offset) {
    Value value{};
    file.read(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
}

}  // namespace

StockLogits::StockLogits(const std::filesystem::path& path) : file_(path) {
    std::array<char, kMagic.size()> magic{};
    file_.read(0, std::as_writable_bytes(std::span(magic)));
    if (std::string_view(magic.data(), magic.size()) != kMagic)
        throw Error(ErrorKind::kMalformed, fmt::format("{}: does not begin as llama-perplexity's files of log "
                                                       "probabilities do; expected \"{}\"",
                                                       path.string(), kMagic));
    context_ = value_at<std::int32_t>(file_, 8);
    n_vocab_ = value_at<std::int32_t>(file_, 12);
    n_chunks_ = value_at<std::int32_t>(file_, 16);
    const auto is_sound = [](std::int32_t count, std::int32_t least) {
        return count >= least && count <= kLargestCount;
    };
    if (!is_sound(context_, kFewestTokensOfChunk) || !is_sound(n_vocab_, 1) || !is_sound(n_chunks_, 1))
        throw Error(
            ErrorKind::kMalformed,
            fmt::format("{}: {} chunks of {} tokens of a vocabulary of {}; expected 1 to {} of each, and chunks of "
                        "at least {} tokens",
                        path.string(), n_chunks_, context_, n_vocab_, kLargestCount, kFewestTokensOfChunk));
    // None of these products wraps: counts have 24 bits, and a row less than 2²⁶ bytes.
    const std::uint64_t n_tokens = static_cast<std::uint64_t>(n_chunks_) * static_cast<std::uint64_t>(context_);
    first_row_ = kHeaderBytes + n_tokens * sizeof(std::int32_t);
    const std::uint64_t n_rows = static_cast<std::uint64_t>(n_chunks_) * static_cast<std::uint64_t>(rows_per_chunk());
    if (file_.size() < first_row_ || (file_.size() - first_row_) / row_bytes() < n_rows)
        throw Error(ErrorKind::kMalformed, fmt::format("{}: {} bytes; expected {} rows of {} bytes from byte {}",
                                                       path.string(), file_.size(), n_rows, row_bytes(), first_row_));
    tokens_.resize(n_tokens);
    file_.read(kHeaderBytes, std::as_writable_bytes(std::span(tokens_)));
}

std::uint64_t StockLogits::row_bytes() const {
    const auto codes = (static_cast<std::uint64_t>(n_vocab_) + 1) / 2 * 2;
    return kScaleBytes + codes * sizeof(std::uint16_t);
}

float StockLogits::read_row(std::int64_t row, std::span<float> log_probabilities) const {
    std::vector<std::byte> bytes(row_bytes());
    file_.read(first_row_ + static_cast<std::uint64_t>(row) * bytes.size(), bytes);
    float step = 0, lowest = 0;
    std::memcpy(&step, bytes.data(), sizeof step);
    std::memcpy(&lowest, bytes.data() + sizeof step, sizeof lowest);
    const std::byte* codes = bytes.data() + kScaleBytes;
    for (std::size_t id = 0; id < log_probabilities.size(); ++id) {
        std::uint16_t code = 0;
        std::memcpy(&code, codes + id * sizeof code, sizeof code);
        log_probabilities[id] = lowest + step * static_cast<float>(code);
    }
    return step;
}

}  // namespace plasticity
