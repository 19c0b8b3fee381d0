#pragma once

#include <string>
#include <system_error>

#include "plasticity/error.h"  // IWYU pragma: export

namespace plasticity {

/// What the system says of an errno.
inline std::string system_reason(int error) {
    return std::generic_category().message(error);
}

}  // namespace plasticity
