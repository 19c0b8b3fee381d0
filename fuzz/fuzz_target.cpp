#include "fuzz_target.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <system_error>

namespace plasticity::fuzz {
namespace {

constexpr std::array kTargets{
    Target{"api_request", run_api_request},
    Target{"config", run_config},
    Target{"corpus", run_corpus},
    Target{"gate_gradients", run_gate_gradients},
    Target{"gguf", run_gguf},
    Target{"lora_adapter", run_lora_adapter},
    Target{"pipeline", run_pipeline_file},
    Target{"recipe", run_recipe},
    Target{"rpc_request", run_rpc_request},
    Target{"run_artifacts", run_run_artifacts},
    Target{"safetensors", run_safetensors},
    Target{"shard_index", run_shard_index},
    Target{"stage_request", run_stage_request},
    Target{"statistics", run_statistics},
    Target{"stock_logits", run_stock_logits},
    Target{"tasks", run_tasks},
    Target{"tokenizer", run_tokenizer},
    Target{"vocabulary", run_vocabulary},
};

[[noreturn]] void give_up(std::string_view reason) {
    std::fprintf(stderr, "fuzz: %.*s\n", static_cast<int>(reason.size()), reason.data());
    std::abort();
}

/// Memory rather than disk where the system has it: every input is a file.
std::filesystem::path make_folder() {
    const std::filesystem::path memory = "/dev/shm";
    std::error_code ignored;
    const std::filesystem::path parent =
        std::filesystem::is_directory(memory, ignored) ? memory : std::filesystem::temp_directory_path();
    std::string name = (parent / "plasticity-fuzz-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) give_up("cannot make a folder in " + parent.string());
    return name;
}

struct ScratchFolder {
    std::filesystem::path path = make_folder();
    ScratchFolder() = default;
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;
    ~ScratchFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
};

}  // namespace

std::span<const Target> targets() {
    return kTargets;
}

const Target* find_target(std::string_view name) {
    const auto* found =
        std::find_if(kTargets.begin(), kTargets.end(), [&](const Target& target) { return target.name == name; });
    return found == kTargets.end() ? nullptr : found;
}

std::filesystem::path file_of(std::span<const std::byte> input) {
    static const int descriptor = ::memfd_create("fuzz", MFD_CLOEXEC);
    if (descriptor < 0 || ::ftruncate(descriptor, 0) != 0 ||
        ::pwrite(descriptor, input.data(), input.size(), 0) != static_cast<ssize_t>(input.size()))
        give_up("cannot hold the input in memory");
    return fmt::format("/proc/self/fd/{}", descriptor);
}

const std::filesystem::path& scratch_folder() {
    static const ScratchFolder folder;
    return folder.path;
}

void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!out) give_up("cannot write " + path.string());
}

void write_file(const std::filesystem::path& path, std::string_view text) {
    write_file(path, std::as_bytes(std::span(text)));
}

bool accepts(std::initializer_list<ErrorKind> refusals, const std::function<void()>& reader) {
    try {
        reader();
        return true;
    } catch (const Error& error) {
        if (std::find(refusals.begin(), refusals.end(), error.kind()) == refusals.end()) {
            std::fprintf(stderr, "fuzz: an error of kind %d: %s\n", static_cast<int>(error.kind()), error.what());
            throw;
        }
        return false;
    }
}

void require(bool holds, std::string_view promise) {
    if (!holds) give_up(fmt::format("accepted, but not so: {}", promise));
}

}  // namespace plasticity::fuzz
