#pragma once

#include <stdexcept>
#include <string>

#include "plasticity/export.h"

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

/// The only exception that this project throws. Messages read "where: what; got, expected; remedy".
class PLASTICITY_API Error : public std::runtime_error {
public:
    Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
    ErrorKind kind() const noexcept { return kind_; }

private:
    ErrorKind kind_;
};

}  // namespace plasticity
