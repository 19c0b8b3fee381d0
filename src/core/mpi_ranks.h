#pragma once

#include "core/ranks.h"

namespace plasticity {

/// Those that mpirun, mpiexec or srun started this process among; this process alone where nobody did.
/// @throws Error (kUsage) where it was started among others and this build has no MPI; kIo where MPI does not start
Ranks& started_ranks();

/// The last call of main: ends all other ranks, too, where this one failed.
void leave_ranks(int exit_code);

}  // namespace plasticity
