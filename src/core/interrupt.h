#pragma once

#include "plasticity/interrupt.h"  // IWYU pragma: export

namespace plasticity {

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
