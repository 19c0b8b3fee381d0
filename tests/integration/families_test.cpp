// Every family's GGUF in stock libllama: the same logits as in the own engine.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/progress.h"
#include "engine/decoder.h"
#include "integration/stock_engine.h"
#include "model/gguf_export.h"
#include "support/reference_model.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

using test::ReferenceModel;
using test::TempDir;

class StockFamilies : public testing::TestWithParam<const char*> {};

TEST_P(StockFamilies, LogitsAreThoseOfTheOwnEngine) {
    const TempDir dir;
    const auto quiet = make_progress(ProgressStyle::kQuiet);
    const ReferenceModel reference = test::load_reference(GetParam());
    const auto folder = write_reference_folder(dir / "hf", reference);
    export_gguf(*open_model(folder), {.file = dir / "model.gguf", .type = "f32"}, *quiet);

    Decoder own(*open_model(dir / "model.gguf"), {.context_length = 64, .threads = 1}, *quiet);
    std::vector<std::vector<float>> rows;
    own.feed(reference.tokens, 0,
             [&](std::int32_t, std::span<const float> row) { rows.emplace_back(row.begin(), row.end()); });
    test::StockEngine stock(dir / "model.gguf", 64);
    double largest = 0;
    std::size_t n_rows = 0;
    stock.feed(reference.tokens, 0, [&](std::int32_t position, std::span<const float> row) {
        const std::vector<float>& mine = rows.at(static_cast<std::size_t>(position));
        ASSERT_EQ(row.size(), mine.size());
        ++n_rows;
        for (std::size_t id = 0; id < row.size(); ++id)
            largest = std::max(largest, std::fabs(static_cast<double>(row[id]) - mine[id]));
    });
    EXPECT_EQ(n_rows, reference.tokens.size());
    // Stock may choose other kernels for the same sums, and keeps keys and values in F16 as the own engine does.
    EXPECT_LT(largest, 1e-3);
    std::cout << "largest difference of logits, " << GetParam() << ": " << largest << "\n";
}

INSTANTIATE_TEST_SUITE_P(Reference, StockFamilies,
                         testing::Values("llama", "mistral", "qwen2", "qwen3", "granite", "smollm3", "gemma3", "phi3"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace plasticity
