#include "heal/healed_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/interrupt.h"
#include "quant/scaled_rows.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kPiece = std::uint64_t{1} << 22;

/// A tensor of the source and what takes its place.
using Change = std::pair<const GgufTensor*, const TrainedVector*>;

/// In the file's order.
std::vector<Change> changes_of(const GgufReader& source, std::span<const TrainedVector> trained) {
    std::vector<Change> changes;
    for (const TrainedVector& vector : trained) {
        const GgufTensor* tensor = source.find(gguf_name(vector.id));
        const std::int64_t n = is_matrix(vector.id) && tensor != nullptr ? tensor->n_rows()
                               : tensor != nullptr                       ? tensor->row_length()
                                                                         : 0;
        if (std::cmp_not_equal(n, vector.start.size()))
            throw Error(ErrorKind::kInternal, fmt::format("heal: {} has {} entries in the file; expected {}",
                                                          gguf_name(vector.id), n, vector.start.size()));
        changes.emplace_back(tensor, &vector);
    }
    std::ranges::sort(changes, {}, [](const Change& change) { return change.first->offset; });
    return changes;
}

class Copy {
public:
    Copy(const GgufReader& source, AtomicFile& out) : source_(source), out_(out) {}

    void as_it_is(std::uint64_t end) {
        while (at_ < end) out_.write(next(std::min(kPiece, end - at_)));
    }

    void vector(const GgufTensor& tensor, std::span<const float> values) {
        out_.write(std::as_bytes(values));
        at_ += tensor.bytes;
    }

    void rows(const GgufTensor& tensor, std::span<const float> factors) {
        const std::uint64_t row_bytes = tensor.bytes / factors.size();
        const std::size_t step = std::max<std::size_t>(1, kPiece / row_bytes);
        for (std::size_t first = 0; first < factors.size(); first += step) {
            const auto some = factors.subspan(first, std::min(step, factors.size() - first));
            const std::span<std::byte> bytes = next(row_bytes * some.size());
            for (std::size_t row = 0; row < some.size(); ++row)
                scale_rows(tensor.type, bytes.subspan(row * row_bytes, row_bytes), some[row]);
            out_.write(bytes);
        }
    }

private:
    std::span<std::byte> next(std::uint64_t n) {
        throw_if_interrupted();
        piece_.resize(n);
        source_.file().read(at_, piece_);
        at_ += n;
        return piece_;
    }

    const GgufReader& source_;
    AtomicFile& out_;
    std::uint64_t at_ = 0;
    std::vector<std::byte> piece_;
};

}  // namespace

void write_healed_file(const GgufReader& source, std::span<const TrainedVector> trained,
                       const std::filesystem::path& target, Overwrite overwrite) {
    const std::uint64_t size = source.file().size();
    AtomicFile out(target, overwrite, size);
    Copy copy(source, out);
    for (const auto& [tensor, vector] : changes_of(source, trained)) {
        copy.as_it_is(tensor->offset);
        if (is_matrix(vector->id))
            copy.rows(*tensor, vector->values());
        else
            copy.vector(*tensor, vector->values());
    }
    copy.as_it_is(size);
    source.file().require_unchanged();
    out.commit();
}

}  // namespace plasticity
