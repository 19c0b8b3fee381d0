// Runs a fuzz target once over every file of some folders, without libFuzzer: `make test` keeps what fuzzing found
// mended. Usage: fuzz_replay TARGET FOLDER...

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <new>
#include <string>
#include <vector>

#include "fuzz_target.h"

namespace {

// The inputs are some kilobytes long; a reader that asks for this much at once believes a length in one of them.
constexpr std::size_t kMaxAllocationBytes = std::size_t{64} << 20;

void* allocate(std::size_t size) {
    if (size > kMaxAllocationBytes) {
        std::fprintf(stderr, "fuzz: %zu bytes asked for at once\n", size);
        std::abort();
    }
    return std::malloc(size == 0 ? 1 : size);
}

std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace

// The array forms call these. The form without exceptions is std::stable_sort's: all of one family have to be replaced
// together, or a sanitizer sees one's memory freed by the other.
void* operator new(std::size_t size) {
    if (void* memory = allocate(size)) return memory;
    throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

int main(int argc, char** argv) {
    using namespace plasticity::fuzz;
    const Target* target = argc > 1 ? find_target(argv[1]) : nullptr;
    if (target == nullptr || argc < 3) {
        std::fprintf(stderr, "usage: fuzz_replay TARGET FOLDER...\n");
        return 2;
    }
    for (int i = 2; i < argc; ++i) {
        const std::vector<std::filesystem::path> files = files_in(argv[i]);
        if (files.empty()) {
            std::fprintf(stderr, "fuzz: nothing in %s\n", argv[i]);
            return 3;
        }
        for (const std::filesystem::path& path : files) {
            std::fprintf(stderr, "%s\n", path.c_str());  // the last one before a crash is the culprit
            std::ifstream in(path, std::ios::binary);
            const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
            target->run(std::as_bytes(std::span(bytes)));
        }
        std::printf("%s: %zu inputs of %s\n", argv[1], files.size(), argv[i]);
    }
    return 0;
}
