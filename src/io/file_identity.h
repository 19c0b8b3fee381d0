#pragma once

#include <filesystem>
#include <string>

namespace plasticity {

/// Path, size and modification time of a file, as one line: as long as it stays the same, so does what is made from it.
/// @throws Error (kMissing)
std::string file_identity(const std::filesystem::path& path);

/// The running program's own file: a version does not change with every build. Empty where the system does not tell.
std::string program_identity();

}  // namespace plasticity
