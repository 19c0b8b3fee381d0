#include "compress/source_hashes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <span>

#include "compress/ordered_pipeline.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/interrupt.h"
#include "io/input_file.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kTileBytes = std::uint64_t{1} << 20;

std::string sha256_of(const Model& model, const std::filesystem::path& path) {
    const InputFile file(path);
    if (!model.reads_from(path) || !file.is_same_file(path))
        throw Error(
            ErrorKind::kIo,
            fmt::format("{}: was replaced since it was opened; start again once nobody writes it", path.string()));
    Sha256 hash;
    std::vector<std::byte> tile(std::min(kTileBytes, file.size()));
    for (std::uint64_t begin = 0; begin < file.size(); begin += kTileBytes) {
        throw_if_interrupted();
        const std::span bytes = std::span(tile).first(std::min(kTileBytes, file.size() - begin));
        file.read(begin, bytes);
        hash.update(bytes);
    }
    file.require_unchanged();
    return hash.finish();
}

}  // namespace

std::vector<HashedFile> hash_sources(const Model& model, int threads, Progress& progress) {
    const std::vector<SourceFile>& files = model.files();
    const auto workers = static_cast<std::size_t>(std::max(threads, 1));
    std::vector<HashedFile> hashed(files.size());
    std::uint64_t all_bytes = 0;
    for (const SourceFile& file : files) all_bytes += file.bytes;

    progress.begin("hash the sources", all_bytes, "bytes");
    run_ordered_pipeline(
        {.count = files.size(), .workers = workers, .slots = 2 * workers},
        [&](const PipelineItem& item) {
            const std::filesystem::path& path = files[item.index].path;
            hashed[item.index] = {path.filename().string(), sha256_of(model, path)};
        },
        [&](const PipelineItem& item) { progress.advance(files[item.index].bytes, hashed[item.index].name); });
    progress.end();
    for (const HashedFile& file : hashed) progress.note(fmt::format("SHA-256 {}  {}", file.sha256, file.name));
    return hashed;
}

}  // namespace plasticity
