#pragma once

#include "plasticity/report.h"  // IWYU pragma: export
