#pragma once

namespace plasticity {

/// What to do where the target exists.
enum class Overwrite { kRefuse, kReplace };

}  // namespace plasticity
