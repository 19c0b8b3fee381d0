#pragma once

#include <optional>
#include <string>
#include <system_error>

#include "plasticity/error.h"  // IWYU pragma: export

namespace plasticity {

/// What a process of this program that ended with `exit_code` would have thrown; nothing for any other end.
inline std::optional<ErrorKind> error_kind_of(int exit_code) {
    const bool is_kind =
        exit_code >= static_cast<int>(ErrorKind::kInternal) && exit_code <= static_cast<int>(ErrorKind::kIo);
    return is_kind ? std::optional(static_cast<ErrorKind>(exit_code)) : std::nullopt;
}

/// The exit code of a report whose checks did not all pass: no error, so it is none of ErrorKind.
inline constexpr int kVerificationFailed = 7;

/// What the system says of an errno.
inline std::string system_reason(int error) {
    return std::generic_category().message(error);
}

}  // namespace plasticity
