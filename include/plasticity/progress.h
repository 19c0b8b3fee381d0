#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "plasticity/export.h"

namespace plasticity {

/// Where a stage reports how far it is. One task at a time: begin, advance…, end.
/// Called from the stage's own thread only. What it throws ends the stage, which leaves nothing half-written:
/// Interrupted where somebody wants it to end.
class PLASTICITY_API Progress {
public:
    virtual ~Progress() = default;

    /// @param total  units of work, 0 when unknown
    /// @param unit   what is counted, for rates: "tokens", "bytes", "tensors"
    virtual void begin(std::string_view task, std::uint64_t total, std::string_view unit) = 0;
    /// @param done    units finished since the last call
    /// @param detail  a few words on the current state ("loss 1.93"), may be empty
    virtual void advance(std::uint64_t done, std::string_view detail = {}) = 0;
    virtual void end() = 0;
    /// A line worth reading that is not an error.
    virtual void note(std::string_view message) = 0;
};

enum class ProgressStyle {
    kAuto,   ///< a bar with rate and ETA on a terminal, plain lines now and then otherwise
    kJson,   ///< one JSON object a line: {"event", "task", "done", "total", "unit", "elapsed_s", "eta_s", …}
    kQuiet,  ///< nothing
};

/// Reports to stderr (stdout is data). Honours NO_COLOR.
PLASTICITY_API std::unique_ptr<Progress> make_progress(ProgressStyle style);

}  // namespace plasticity
