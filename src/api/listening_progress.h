#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "plasticity/progress.h"

namespace plasticity {

/// How far a stage is. Texts are valid during the call that receives it.
struct ProgressEvent {
    std::string_view task;
    std::uint64_t done = 0;
    std::uint64_t total = 0;  ///< 0: unknown
    std::string_view unit;    ///< "tokens", "bytes", "tensors"
    std::string_view detail;  ///< a few words on the current state; may be empty
    std::string_view note;    ///< not empty: a line worth reading, and nothing else has happened
};

/// What the caller of a stage hears while it runs, on the thread that called. Both may be empty; false ends the stage.
struct StageListener {
    std::function<bool(const ProgressEvent&)> on_progress;
    std::function<bool(std::string_view)> on_text;  ///< pieces of generated text
};

/// Tells a listener, and ends the stage with Interrupted when it says so.
class ListeningProgress final : public Progress {
public:
    explicit ListeningProgress(const StageListener& listener) : listener_(listener) {}

    void begin(std::string_view task, std::uint64_t total, std::string_view unit) override;
    void advance(std::uint64_t done, std::string_view detail) override;
    void end() override;
    void note(std::string_view message) override;
    /// A piece of generated text.
    void text(std::string_view piece);

private:
    void tell(std::string_view detail, std::string_view note);

    const StageListener& listener_;
    std::string task_, unit_;
    std::uint64_t done_ = 0, total_ = 0;
};

}  // namespace plasticity
