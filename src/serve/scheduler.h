#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "engine/decoder.h"
#include "engine/tokenizer.h"
#include "serve/metrics.h"
#include "serve/reply.h"
#include "serve/slot.h"

namespace plasticity {

struct SchedulerOptions {
    std::size_t slots = 4;      ///< the decoder's sequences
    std::size_t queued = 256;   ///< texts that may wait for a slot
    bool reuse_prompts = true;  ///< feed only what differs from what a slot holds
};

/// Continuous batching: one thread owns the decoder, and each of its steps feeds the next token of every slot that
/// generates together with a bounded piece of a prompt, so that whoever comes later neither waits for others to end nor
/// makes them wait. Texts get a slot in the order in which they came.
///
/// A text does not depend on what is beside it but for rounding (Decoder::step); one that is alone from its begin to
/// its end, in a slot that holds nothing of its prompt, is exactly what `plasticity infer` gives.
class Scheduler {
public:
    /// @param decoder  of as many sequences as there are slots; this thread must not use it any more
    Scheduler(Decoder& decoder, const Tokenizer& tokenizer, const SchedulerOptions& options, Metrics& metrics);
    /// Ends as stop() does.
    ~Scheduler();

    /// Queues the texts of one request: all, or none. Thread-safe.
    /// @returns nullptr when there is no room for them, or after stop()
    std::shared_ptr<Reply> submit(std::vector<TextJob> jobs);

    /// Fails what is in work or waits, and ends the thread. Thread-safe.
    void stop();

    /// Slots and queue as they are now. Thread-safe.
    Metrics::Gauges gauges() const;

private:
    void run();
    /// @returns false when it is time to end
    bool wait_for_work();
    void admit();
    std::optional<QueuedJob> next_in_queue();
    Slot& slot_for(const TextJob& job);
    std::vector<Slot*> busy_slots();
    void step();
    void fail_all(const std::string& message);
    void publish();

    Decoder& decoder_;
    SchedulerOptions options_;
    Metrics& metrics_;
    std::deque<Slot> slots_;  ///< of the thread alone; they stay where they are
    std::size_t next_victim_ = 0;

    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<QueuedJob> queue_;
    Metrics::Gauges gauges_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace plasticity
