#pragma once

#include <filesystem>

namespace plasticity {

/// The interpreter that `python3` stands for: what PATH has of that name may be a script that looks for one, which a
/// sandbox would not let do so. @returns an empty path where there is none
std::filesystem::path find_python();

}  // namespace plasticity
