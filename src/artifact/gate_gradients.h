#pragma once

#include "plasticity/gate_gradients.h"  // IWYU pragma: export
