#pragma once

#include <optional>
#include <vector>

#include "artifact/device.h"
#include "artifact/thresholds.h"
#include "verify/stock_check.h"
#include "verify/task_file.h"

namespace plasticity {

/// What a file is held against, beside its own recipe.
struct Demands {
    std::optional<Device> device;  ///< instead of the recipe's
    Thresholds thresholds;
    std::vector<Task> tasks;
    std::optional<StockTools> stock;
};

}  // namespace plasticity
