#pragma once

#include <exception>

namespace plasticity {

/// Thrown between two units of work after SIGINT or SIGTERM, so that destructors remove temporaries.
class Interrupted : public std::exception {
public:
    explicit Interrupted(int signal) : signal_(signal) {}
    const char* what() const noexcept override { return "interrupted"; }
    /// 130 for SIGINT, 143 for SIGTERM, as shells report them.
    int exit_code() const noexcept { return 128 + signal_; }
    int signal() const noexcept { return signal_; }

private:
    int signal_;
};

/// Routes SIGINT and SIGTERM to a flag. Call once, from main, before threads start.
void install_signal_handlers();

/// Call between units of work (a tile, a layer, a token). Thread-safe.
/// @throws Interrupted once a signal has arrived
void throw_if_interrupted();

/// For work that ends otherwise than by an exception.
bool is_interrupted();

/// For a program that goes on after Ctrl-C stopped something: forgets a SIGINT that has arrived.
/// @returns false when none has, or when SIGTERM has, which is never forgotten
bool forget_sigint();

}  // namespace plasticity
