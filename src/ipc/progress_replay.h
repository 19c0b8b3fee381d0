#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "core/progress.h"

namespace plasticity {

/// Shows the progress of another process as if it were this one's: the JSON objects that --log-json writes, one by one.
/// Anything that is no such object is ignored.
class ProgressReplay {
public:
    explicit ProgressReplay(Progress& progress) : progress_(progress) {}
    void show(const nlohmann::ordered_json& event);

private:
    Progress& progress_;
    std::uint64_t done_ = 0;
};

}  // namespace plasticity
