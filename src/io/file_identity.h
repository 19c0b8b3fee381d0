#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace plasticity {

/// Path, size and modification time of a file, as one line: as long as it stays the same, so does what is made from it.
/// @throws Error (kMissing)
std::string file_identity(const std::filesystem::path& path);

/// SHA-256 over parts; the order counts, and where one ends and the next begins.
std::string fingerprint(const std::vector<std::string>& parts);

/// The same of several, of folders of all files in them, for fingerprints. @throws Error (kMissing)
std::string identity_of_files(const std::vector<std::filesystem::path>& paths);

/// The running program's own file: a version does not change with every build. Empty where the system does not tell.
std::string program_identity();

}  // namespace plasticity
