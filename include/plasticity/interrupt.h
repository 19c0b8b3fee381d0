#pragma once

#include <exception>

#include "plasticity/export.h"

namespace plasticity {

/// Thrown between two units of work after SIGINT or SIGTERM, so that destructors remove temporaries. A Progress throws
/// it to the same end.
class PLASTICITY_API Interrupted : public std::exception {
public:
    explicit Interrupted(int signal) : signal_(signal) {}
    const char* what() const noexcept override { return "interrupted"; }
    /// 130 for SIGINT, 143 for SIGTERM, as shells report them.
    int exit_code() const noexcept { return 128 + signal_; }
    int signal() const noexcept { return signal_; }

private:
    int signal_;
};

}  // namespace plasticity
