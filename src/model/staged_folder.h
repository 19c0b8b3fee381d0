#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

#include "io/atomic_file.h"

namespace plasticity {

/// A folder that appears whole or not at all: filled under a fixed, locked temporary name beside the target
/// (`.NAME.partial`), then renamed. Destruction without commit removes what was written and leaves the target as it
/// was; what a killed process leaves, the next run with this target removes.
class StagedFolder {
public:
    /// @param is_ours  whether a file of that name may be in a folder that is replaced; anything else there is refused,
    ///                 so that a mistyped target cannot cost a folder of other things
    /// @throws Error (kUsage when the target may not be replaced; kIo, also when another process is writing it)
    StagedFolder(std::filesystem::path target, Overwrite overwrite,
                 const std::function<bool(std::string_view)>& is_ours);
    ~StagedFolder();
    StagedFolder(const StagedFolder&) = delete;
    StagedFolder& operator=(const StagedFolder&) = delete;

    /// Where to write meanwhile.
    const std::filesystem::path& path() const { return staging_; }
    /// @throws Error (kIo) when the file system has less than `bytes` left
    void require_space(std::uint64_t bytes) const;
    /// Makes the target appear; a folder that was there changes places with it, so there is no moment without one
    /// (where the system can do that). @throws Error (kIo), the target then being as it was
    void commit();

private:
    void open_staging();
    /// Gives the two folders each other's names. @returns whether the system could
    bool exchange() const;
    void replace_in_two_steps();
    void remove_staging() const;

    std::filesystem::path target_;
    std::filesystem::path staging_;  // empty once there is nothing to remove
    int lock_ = -1;                  // the open staging folder
};

}  // namespace plasticity
