#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "artifact/gram.h"
#include "core/progress.h"
#include "engine/backend.h"
#include "engine/curvature.h"
#include "engine/gram_product.h"
#include "io/scratch_file.h"
#include "model/architecture.h"

namespace plasticity {

/// Rows that wait in memory before they are multiplied and added to the sums.
inline constexpr std::uint64_t kGramBufferBytes = std::uint64_t{1} << 30;

/// Every input of the model's matrices, as Gram matrices are kept of it. Wider ones than can be kept are noted and left
/// out.
std::vector<GramInput> gram_inputs(const Architecture& architecture, Progress& progress);

/// What summing takes of memory, with so many bytes of waiting rows.
std::uint64_t gram_memory_bytes(const Architecture& architecture, std::uint64_t buffer_bytes);

struct GramCollectorOptions {
    std::filesystem::path target;
    Overwrite overwrite = Overwrite::kRefuse;
    int threads = 0;
    std::uint64_t buffer_bytes = kGramBufferBytes;
};

/// Sums energy · x xᵀ of every input, in double, with bounded memory: weighed rows wait in a buffer; when it is full,
/// the sums, which lie in a temporary file beside the target, are brought up to date one input at a time.
class GramCollector {
public:
    /// @param header  all but n_tokens, which is counted
    GramCollector(GramHeader header, const GramCollectorOptions& options);

    GramCollector(const GramCollector&) = delete;  // its products hold its backend
    GramCollector& operator=(const GramCollector&) = delete;

    /// Inputs that the header does not name are passed over.
    void add(const WeighedInputs& seen);
    void add_tokens(std::int64_t n) { header_.n_tokens += n; }

    /// Writes the file. @throws Error (kIo, kMalformed where sums are not finite), Interrupted
    void finish();

    /// Bytes on disk that `n_tokens` will take: the file, and the temporary one where the buffer does not hold them.
    static std::uint64_t disk_bytes(const GramHeader& header, std::int64_t n_tokens, std::uint64_t buffer_bytes);

private:
    struct Entry {
        GramInput input;
        std::uint64_t offset = 0;      ///< of its sums in the temporary file
        std::vector<float> waiting{};  ///< [rows][width], each row times √energy
    };

    std::vector<double> take_sums(Entry& entry);
    void flush();

    GramHeader header_;
    GramCollectorOptions options_;
    Backend backend_;
    GramProduct product_;
    std::vector<Entry> entries_;
    std::map<std::string, std::size_t> by_matrix_;
    std::unique_ptr<ScratchFile> sums_;  ///< nothing before the buffer was full for the first time
    std::uint64_t waiting_bytes_ = 0;
};

}  // namespace plasticity
