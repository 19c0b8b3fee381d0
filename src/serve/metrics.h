#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

namespace plasticity {

/// Counts of how often durations stayed below bounds, as Prometheus has them.
class DurationHistogram {
public:
    static constexpr std::array kBounds{0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0};

    void observe(double seconds);
    /// Lines of Prometheus' text format.
    std::string text(const std::string& name, const std::string& help) const;

private:
    std::array<std::uint64_t, kBounds.size() + 1> counts_{};
    double sum_ = 0;
};

/// What the server has done since it started. Thread-safe.
class Metrics {
public:
    struct Counts {
        std::uint64_t responses[5] = {};  ///< by class of status: 1xx to 5xx
        std::uint64_t cancelled = 0;      ///< texts whose client left
        std::uint64_t refused = 0;        ///< requests for which the queue had no room
        std::uint64_t prompt_tokens = 0;
        std::uint64_t reused_tokens = 0;
        std::uint64_t generated_tokens = 0;
        std::uint64_t steps = 0;
        std::uint64_t step_tokens = 0;  ///< in all steps
        double step_seconds = 0;
    };
    /// As it is now.
    struct Gauges {
        std::size_t slots = 0, busy_slots = 0, queued = 0, connections = 0;
        std::size_t cached_tokens = 0;  ///< in the KV caches
    };

    void count_response(int status);
    void count_refused();
    void count_cancelled();
    void count_step(std::size_t tokens, double seconds);
    void count_prompt(std::int32_t tokens, std::int32_t reused, double seconds_to_first_token);
    void count_text(std::int32_t generated, double seconds);

    Counts counts() const;
    /// Prometheus' text format.
    std::string text(const Gauges& gauges) const;

private:
    mutable std::mutex mutex_;
    Counts counts_;
    DurationHistogram first_token_, whole_text_;
};

}  // namespace plasticity
