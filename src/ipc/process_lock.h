#pragma once

#include <filesystem>

namespace plasticity {

/// A lock on a file that a process and, where they are to inherit it, those that it starts hold until the last of them
/// has ended. Thread-safe.
class ProcessLock {
public:
    enum class Inherit { kNo, kYes };
    ProcessLock(const std::filesystem::path& file, Inherit inherit);
    ~ProcessLock();
    ProcessLock(const ProcessLock&) = delete;
    ProcessLock& operator=(const ProcessLock&) = delete;
    /// Waits for nothing. @returns false where another process holds it. @throws Error (kIo)
    bool try_lock();

private:
    std::filesystem::path file_;
    int descriptor_;
};

}  // namespace plasticity
