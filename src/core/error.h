#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

namespace plasticity {

/// What went wrong, sorted by what the caller can do about it. The value is also the process's exit code.
enum class ErrorKind {
    kInternal = 1,    ///< a defect of this program
    kUsage = 2,       ///< the request itself
    kMissing = 3,     ///< an input is not there
    kMalformed = 4,   ///< an input is not what it claims to be
    kInfeasible = 5,  ///< nothing fits the budget
    kIo = 6,          ///< reading or writing failed, or the disk is full
};

/// What a process of this program that ended with `exit_code` would have thrown; nothing for any other end.
inline std::optional<ErrorKind> error_kind_of(int exit_code) {
    const bool is_kind =
        exit_code >= static_cast<int>(ErrorKind::kInternal) && exit_code <= static_cast<int>(ErrorKind::kIo);
    return is_kind ? std::optional(static_cast<ErrorKind>(exit_code)) : std::nullopt;
}

/// The exit code of a report whose checks did not all pass: no error, so it is none of ErrorKind.
inline constexpr int kVerificationFailed = 7;

/// The only exception that this project throws. Messages read "where: what; got, expected; remedy".
class Error : public std::runtime_error {
public:
    Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
    ErrorKind kind() const noexcept { return kind_; }

private:
    ErrorKind kind_;
};

/// What the system says of an errno.
inline std::string system_reason(int error) {
    return std::generic_category().message(error);
}

}  // namespace plasticity
