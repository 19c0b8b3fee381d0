#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace plasticity {

/// A file without a name, for what does not fit into memory: it is gone when it is closed, however the process ends.
class ScratchFile {
public:
    /// @param folder  where it takes its room. @throws Error (kIo)
    explicit ScratchFile(const std::filesystem::path& folder);
    ~ScratchFile();
    ScratchFile(const ScratchFile&) = delete;
    ScratchFile& operator=(const ScratchFile&) = delete;

    /// @throws Error (kIo), as where the disk is full
    void write(std::uint64_t offset, std::span<const std::byte> bytes);
    /// What has been written there. @throws Error (kIo), as beyond the end
    void read(std::uint64_t offset, std::span<std::byte> out) const;

private:
    std::filesystem::path folder_;
    int descriptor_ = -1;
};

}  // namespace plasticity
