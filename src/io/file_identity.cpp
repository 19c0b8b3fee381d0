#include "io/file_identity.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/hash.h"
#include "io/corpus.h"

namespace plasticity {

std::string file_identity(const std::filesystem::path& path) {
    namespace fs = std::filesystem;
    try {
        return fmt::format("{} {} {}\n", fs::canonical(path).string(), fs::file_size(path),
                           fs::last_write_time(path).time_since_epoch().count());
    } catch (const fs::filesystem_error& error) {
        throw Error(ErrorKind::kMissing, fmt::format("{}: {}; check the path", path.string(), error.code().message()));
    }
}

std::string identity_of_files(const std::vector<std::filesystem::path>& paths) {
    std::string identity;
    for (const std::filesystem::path& path : list_data_files(paths)) identity += file_identity(path);
    return identity;
}

std::string fingerprint(const std::vector<std::string>& parts) {
    Sha256 hash;
    for (const std::string& part : parts) hash.update(fmt::format("{}:{}", part.size(), part));
    return hash.finish();
}

std::string program_identity() {
    std::error_code failure;
    const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failure);
    if (failure || !std::filesystem::exists(program, failure)) return "";  // not Linux; replaced while it runs
    return file_identity(program);
}

}  // namespace plasticity
