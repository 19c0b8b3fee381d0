#include <vector>

#include "fuzz_target.h"
#include "io/safetensors_reader.h"
#include "model/hf_dtype.h"
#include "model/hf_rows.h"

namespace plasticity::fuzz {
namespace {

/// As a model's folder does: scales go to their weights, and weights are read as what they stand for.
void read_weights(const SafetensorsReader& file) {
    ProblemList problems("weights");
    WeightScales scales({.is_quantized = true, .block = BlockSize{2, 2}});
    std::vector<const SafetensorsEntry*> weights;
    for (const SafetensorsEntry& entry : file.entries())
        if (!scales.take({0, &entry}, problems)) weights.push_back(&entry);
    for (const SafetensorsEntry* entry : weights) {
        const auto type = weight_type_of_dtype(entry->dtype);
        if (!type || entry->bytes == 0 || entry->shape.empty() || entry->shape.size() > 2) continue;
        HfSource source;
        source.parts.push_back({.weight = {{0, entry}, scales.claim(*entry, problems)}, .n_rows = rows_in(*entry)});
        check_scales(std::span(&file, 1), source, problems);
        std::vector<std::byte> rows(ggml_row_size(*type, entry->shape.back()) *
                                    static_cast<std::size_t>(rows_in(*entry)));
        read_hf_rows(std::span(&file, 1), source, {0, rows_in(*entry)}, rows);
    }
    scales.report_unclaimed(problems);
}

}  // namespace

void run_safetensors(std::span<const std::byte> input) {
    const std::filesystem::path path = file_of(input);
    accepts({ErrorKind::kMalformed}, [&] {
        const SafetensorsReader file(path);
        std::vector<std::byte> bytes;
        std::uint64_t total = 0;
        for (const SafetensorsEntry& entry : file.entries()) {
            require(entry.offset <= input.size() && entry.bytes <= input.size() - entry.offset,
                    "a tensor lies in the file");
            bytes.resize(entry.bytes);
            file.read(entry, 0, bytes);
            total += entry.bytes;
        }
        require(total <= input.size(), "tensors do not overlap");
        read_weights(file);
    });
}

}  // namespace plasticity::fuzz
