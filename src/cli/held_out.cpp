#include "cli/held_out.h"

#include <algorithm>

#include "io/corpus.h"

namespace plasticity {

namespace fs = std::filesystem;

DataSplit split_data(const std::vector<fs::path>& data, const std::vector<fs::path>& eval_data) {
    if (!eval_data.empty()) return {list_data_files(data), list_data_files(eval_data)};

    constexpr std::size_t kEvery = 5;
    DataSplit split;
    std::vector<fs::path> text;
    for (const fs::path& file : list_data_files(data)) {
        const bool is_records = file.extension() == ".jsonl" || file.extension() == ".ndjson";
        (is_records ? split.calibration : text).push_back(file);
    }
    const std::size_t period = std::min(kEvery, text.size());
    for (std::size_t i = 0; i < text.size(); ++i)
        (text.size() > 1 && i % period == period - 1 ? split.held_out : split.calibration).push_back(text[i]);
    return split;
}

}  // namespace plasticity
