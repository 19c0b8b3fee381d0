#pragma once

#include <Eigen/Core>

namespace plasticity {

/// Eigen cuts its products by the caches it finds, and so orders their sums: results must not depend on the machine.
/// To be called before each factorisation.
inline void fix_eigen_blocking() {
    Eigen::setCpuCacheSizes(32 << 10, 512 << 10, 4 << 20);
}

}  // namespace plasticity
