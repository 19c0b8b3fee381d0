#pragma once

#include <filesystem>

namespace plasticity {

/// A folder of this process's own where the system keeps temporary files (TMPDIR), readable by its user alone; removed
/// with all that is in it.
class TemporaryFolder {
public:
    /// @throws Error (kIo)
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

}  // namespace plasticity
