#include "core/memory.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace plasticity {
namespace {

std::optional<std::uint64_t> number_in(const char* path) {
    std::ifstream file(path);
    std::uint64_t value = 0;
    if (file >> value) return value;
    return std::nullopt;
}

/// A line "KEY: 123 kB" of a file in /proc, in bytes.
std::optional<std::uint64_t> kilobytes_in(const char* path, std::string_view key) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(key)) return std::stoull(line.substr(line.find(':') + 1)) * 1024;
    return std::nullopt;
}

constexpr const char* kContainerLimit = "/sys/fs/cgroup/memory.max";
constexpr const char* kOwnStatus = "/proc/self/status";

/// What control groups (version 2) leave; pages of files that could be dropped count as used.
std::optional<std::uint64_t> container_bytes() {
    const auto limit = number_in(kContainerLimit), used = number_in("/sys/fs/cgroup/memory.current");
    if (!limit || !used) return std::nullopt;
    return *limit > *used ? *limit - *used : 0;
}

}  // namespace

std::optional<std::uint64_t> machine_memory_bytes() {
    const long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || page_bytes <= 0) return std::nullopt;
    const std::uint64_t all = static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes);
    return std::min(all, number_in(kContainerLimit).value_or(all));
}

std::optional<std::uint64_t> available_memory_bytes() {
    const auto system = kilobytes_in("/proc/meminfo", "MemAvailable:"), container = container_bytes();
    if (system && container) return std::min(*system, *container);
    return system ? system : container;
}

std::optional<std::uint64_t> peak_resident_bytes() {
    // What getrusage says of a program counts what its parent had resident when it was started.
    if (const auto peak = kilobytes_in(kOwnStatus, "VmHWM:")) return peak;
    rusage usage{};
    if (getrusage(RUSAGE_SELF, &usage) != 0) return std::nullopt;
#ifdef __APPLE__
    return static_cast<std::uint64_t>(usage.ru_maxrss);
#else
    return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
#endif
}

std::optional<std::uint64_t> resident_bytes() {
    return kilobytes_in(kOwnStatus, "VmRSS:");
}

bool reset_peak_resident() {
    std::ofstream file("/proc/self/clear_refs");
    file << "5" << std::flush;  // the kernel's number for the peak; see proc(5)
    return file.good();
}

void prefer_large_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_HUGEPAGE
    constexpr std::size_t kLargePage = std::size_t{2} << 20;
    void* first = data;
    std::size_t left = bytes;
    if (std::align(kLargePage, kLargePage, first, left) != nullptr)
        madvise(first, left / kLargePage * kLargePage, MADV_HUGEPAGE);
#endif
}

void return_freed_memory() {
#ifdef __GLIBC__
    constexpr int kLargeBytes = 1 << 20;
    mallopt(M_MMAP_THRESHOLD, kLargeBytes);
#endif
}

}  // namespace plasticity
