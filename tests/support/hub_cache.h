#pragma once

// Hub caches as huggingface_hub leaves them: files of a snapshot are links into blobs.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

namespace plasticity::test {

inline constexpr const char* kHubCommit = "0123456789abcdef0123456789abcdef01234567";

/// Moves the files of `folder` into the cache, as revision main of owner/name. @returns the snapshot
inline std::filesystem::path move_into_hub_cache(const std::filesystem::path& folder,
                                                 const std::filesystem::path& cache, const std::string& owner,
                                                 const std::string& name) {
    namespace fs = std::filesystem;
    const fs::path repository = cache / ("models--" + owner + "--" + name);
    const fs::path snapshot = repository / "snapshots" / kHubCommit;
    for (const fs::path& made : {repository / "refs", repository / "blobs", snapshot}) fs::create_directories(made);
    std::ofstream(repository / "refs" / "main") << kHubCommit;
    int n = 0;
    for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string blob = "blob" + std::to_string(n++);
        fs::rename(entry.path(), repository / "blobs" / blob);
        fs::create_symlink(fs::path("../../blobs") / blob, snapshot / entry.path().filename());
    }
    return snapshot;
}

/// Sets an environment variable while it lives; programs that are run meanwhile inherit it.
class Setting {
public:
    Setting(std::string name, const std::string& value) : name_(std::move(name)) {
        if (const char* before = std::getenv(name_.c_str())) before_ = before;
        setenv(name_.c_str(), value.c_str(), 1);
    }
    ~Setting() {
        if (before_.empty())
            unsetenv(name_.c_str());
        else
            setenv(name_.c_str(), before_.c_str(), 1);
    }
    Setting(const Setting&) = delete;
    Setting& operator=(const Setting&) = delete;

private:
    std::string name_, before_;
};

}  // namespace plasticity::test
