#include "verify/stock_logits.h"

#include "fuzz_target.h"

namespace plasticity::fuzz {

/// Log probabilities as llama-perplexity writes them.
void run_stock_logits(std::span<const std::byte> input) {
    const std::filesystem::path path = scratch_folder() / "logits";
    write_file(path, input);
    accepts({ErrorKind::kMalformed}, [&] {
        const StockLogits file(path);
        std::vector<float> row(static_cast<std::size_t>(file.n_vocab()));
        const auto rows = static_cast<std::int64_t>(file.n_chunks()) * file.rows_per_chunk();
        if (rows > 0) file.read_row(rows - 1, row);
        require(file.tokens().size() ==
                    static_cast<std::size_t>(file.n_chunks()) * static_cast<std::size_t>(file.context()),
                "all tokens are there");
    });
}

}  // namespace plasticity::fuzz
