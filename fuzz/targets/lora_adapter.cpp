#include "artifact/gguf_adapter.h"
#include "fuzz_target.h"

namespace plasticity::fuzz {

void run_lora_adapter(std::span<const std::byte> input) {
    const std::filesystem::path path = file_of(input);
    accepts({ErrorKind::kMalformed}, [&] {
        const LoraAdapter adapter = load_gguf_adapter(path).adapter;
        require(adapter.rank >= 1 && !adapter.matrices.empty(), "an adapter has a rank and matrices");
        for (const LoraMatrix& matrix : adapter.matrices) {
            const auto rank = static_cast<std::size_t>(adapter.rank);
            require(matrix.a.size() == rank * static_cast<std::size_t>(matrix.cols), "A is [rank][cols]");
            require(matrix.b.size() == rank * static_cast<std::size_t>(matrix.rows), "B is [rows][rank]");
        }
    });
}

}  // namespace plasticity::fuzz
