#pragma once

#include <filesystem>
#include <string>

namespace plasticity {

/// Path, size and modification time of a file, as one line: as long as it stays the same, so does what is made from it.
/// @throws Error (kMissing)
std::string file_identity(const std::filesystem::path& path);

}  // namespace plasticity
