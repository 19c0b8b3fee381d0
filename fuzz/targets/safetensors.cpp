#include <vector>

#include "fuzz_target.h"
#include "io/safetensors_reader.h"

namespace plasticity::fuzz {

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
    });
}

}  // namespace plasticity::fuzz
