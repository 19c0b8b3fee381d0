#pragma once

#include "plasticity/score_provenance.h"  // IWYU pragma: export
