#include "artifact/statistics.h"

#include <algorithm>

#include "fuzz_target.h"

namespace plasticity::fuzz {

void run_statistics(std::span<const std::byte> input) {
    const std::filesystem::path path = file_of(input);
    accepts({ErrorKind::kMalformed}, [&] {
        for (const auto& [name, channels] : load_statistics(path).matrices)
            require(std::all_of(channels.sum_of_squares.begin(), channels.sum_of_squares.end(),
                                [](double sum) { return sum >= 0 && sum < 1e300; }),
                    "sums are finite and not negative");
    });
}

}  // namespace plasticity::fuzz
