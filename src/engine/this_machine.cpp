#include "engine/this_machine.h"

#include <fmt/format.h>
#include <ggml-backend.h>
#include <ggml.h>
#include <sys/utsname.h>

#include <fstream>
#include <string_view>
#include <utility>

#include "core/memory.h"
#include "core/parallel.h"
#include "core/version.h"

#ifdef __APPLE__
#include <sys/sysctl.h>

#include <array>
#endif

namespace plasticity {
namespace {

std::string system_text() {
    utsname name{};
    if (uname(&name) != 0) return "";
    return fmt::format("{} {} {}", name.sysname, name.release, name.machine);
}

std::string processor_name() {
#ifdef __APPLE__
    std::array<char, 256> name{};
    std::size_t size = name.size();
    if (sysctlbyname("machdep.cpu.brand_string", name.data(), &size, nullptr, 0) == 0) return name.data();
#else
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("model name")) return line.substr(std::min(line.size(), line.find(':') + 2));
#endif
    return "";
}

/// Those that ggml's CPU backend was built for and finds.
std::vector<std::string> instruction_sets() {
    std::vector<std::string> found;
    ggml_backend_reg_t cpu = ggml_backend_reg_by_name("CPU");
    if (cpu == nullptr) return found;
    const auto features = reinterpret_cast<ggml_backend_get_features_t>(
        ggml_backend_reg_get_proc_address(cpu, "ggml_backend_get_features"));
    if (features == nullptr) return found;
    for (const ggml_backend_feature* f = features(cpu); f->name != nullptr; ++f)
        if (std::string_view(f->value) == "1") found.emplace_back(f->name);
    return found;
}

}  // namespace

Machine this_machine(std::string backend) {
    return {.system = system_text(),
            .processor = processor_name(),
            .processors = default_thread_count(),
            .memory_bytes = machine_memory_bytes().value_or(0),
            .instruction_sets = instruction_sets(),
            .backend = std::move(backend),
            .program_version = kVersion,
            .ggml_version = ggml_version(),
            .ggml_commit = ggml_commit()};
}

}  // namespace plasticity
