#include "io/corpus.h"

#include "fuzz_target.h"

namespace plasticity::fuzz {

/// JSONL records of task data.
void run_corpus(std::span<const std::byte> input) {
    const std::filesystem::path path = scratch_folder() / "data.jsonl";
    write_file(path, input);
    accepts({ErrorKind::kMalformed, ErrorKind::kUsage}, [&] {
        for (const CorpusRecord& record : read_corpus(std::span(&path, 1)))
            for (const std::int32_t token : record.tokens) require(token >= 0, "token ids are not negative");
    });
}

}  // namespace plasticity::fuzz
