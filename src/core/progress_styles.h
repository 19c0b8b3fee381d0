#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "core/progress.h"

namespace plasticity {

// The ways to show progress, behind make_progress().

/// Where a task stands; the base of every style that shows something.
class TaskProgress : public Progress {
public:
    void begin(std::string_view task, std::uint64_t total, std::string_view unit) override;
    void advance(std::uint64_t done, std::string_view detail) override;
    void end() override;

protected:
    using Clock = std::chrono::steady_clock;

    explicit TaskProgress(std::FILE* stream) : stream_(stream) {}

    enum class Moment { kBegin, kAdvance, kEnd };
    virtual void show(Moment moment) = 0;

    double elapsed_seconds() const;
    /// Units a second since begin; 0 before anything is known.
    double rate() const;
    /// Seconds to go at that rate; negative when unknown.
    double eta_seconds() const;
    /// Whether `interval` has passed since it was last true (or since begin).
    bool is_due(std::chrono::milliseconds interval);
    /// "120 of 500 tokens, 31.2 tokens/s"
    std::string amount_text() const;
    void put(std::string_view text) const;

    std::string task_;
    std::string unit_;
    std::string detail_;
    std::uint64_t total_ = 0;
    std::uint64_t done_ = 0;

private:
    std::FILE* stream_;
    bool is_open_ = false;
    Clock::time_point start_{};
    Clock::time_point last_shown_{};
};

/// One line that is drawn over itself, at most ten times a second.
class BarProgress final : public TaskProgress {
public:
    BarProgress(std::FILE* stream, bool has_colour);
    ~BarProgress() override;
    BarProgress(const BarProgress&) = delete;
    BarProgress& operator=(const BarProgress&) = delete;
    void note(std::string_view message) override;

private:
    void show(Moment moment) override;
    std::string line(std::size_t width) const;
    std::size_t terminal_width() const;
    void clear_line();

    std::FILE* terminal_;
    bool has_colour_;
    bool is_drawn_ = false;
};

/// Lines for logs: where a task starts, every five seconds, where it ends.
class LineProgress final : public TaskProgress {
public:
    explicit LineProgress(std::FILE* stream) : TaskProgress(stream) {}
    void note(std::string_view message) override;

private:
    void show(Moment moment) override;
};

/// One JSON object a line, for programs that watch.
class JsonProgress final : public TaskProgress {
public:
    explicit JsonProgress(std::FILE* stream) : TaskProgress(stream) {}
    void note(std::string_view message) override;

private:
    void show(Moment moment) override;
};

}  // namespace plasticity
