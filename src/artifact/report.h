#pragma once

#include "plasticity/verification_report.h"  // IWYU pragma: export
