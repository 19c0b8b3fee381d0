#include "compress/ordered_pipeline.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace plasticity {
namespace {

/// The state that workers and consumer share. Slot s holds unit i with i % slots == s, for i in [consumed, consumed +
/// slots).
class Exchange {
public:
    explicit Exchange(const PipelineShape& shape) : shape_(shape), slots_(shape.slots) {}

    /// The next unit to make, once its slot is free. Nothing when all are taken or the pipeline stops.
    std::optional<PipelineItem> claim(std::size_t worker) {
        std::unique_lock lock(mutex_);
        if (next_ >= shape_.count) return std::nullopt;
        const std::size_t index = next_++;
        slot_freed_.wait(lock, [&] { return stopped_ || index < consumed_ + shape_.slots; });
        if (stopped_) return std::nullopt;
        return PipelineItem{index, index % shape_.slots, worker};
    }

    void finish(const PipelineItem& item, std::exception_ptr failure) {
        {
            const std::lock_guard lock(mutex_);
            slots_[item.slot] = Slot{true, std::move(failure)};
        }
        slot_filled_.notify_one();
    }

    /// Waits for a unit. Rethrows what its production threw.
    PipelineItem await(std::size_t index) {
        const PipelineItem item{index, index % shape_.slots, 0};
        std::unique_lock lock(mutex_);
        slot_filled_.wait(lock, [&] { return slots_[item.slot].filled; });
        if (slots_[item.slot].failure) std::rethrow_exception(slots_[item.slot].failure);
        return item;
    }

    void release(const PipelineItem& item) {
        {
            const std::lock_guard lock(mutex_);
            slots_[item.slot] = Slot{};
            consumed_ = item.index + 1;
        }
        slot_freed_.notify_all();
    }

    void stop() {
        {
            const std::lock_guard lock(mutex_);
            stopped_ = true;
            next_ = shape_.count;
        }
        slot_freed_.notify_all();
    }

private:
    struct Slot {
        bool filled = false;
        std::exception_ptr failure;
    };

    const PipelineShape shape_;
    std::mutex mutex_;
    std::condition_variable slot_freed_;
    std::condition_variable slot_filled_;
    std::vector<Slot> slots_;
    std::size_t next_ = 0;
    std::size_t consumed_ = 0;
    bool stopped_ = false;
};

/// Stops the workers however the consumer leaves; the threads themselves join on destruction.
struct StopOnExit {
    Exchange& exchange;
    ~StopOnExit() { exchange.stop(); }
};

}  // namespace

void run_ordered_pipeline(const PipelineShape& shape, const std::function<void(const PipelineItem&)>& produce,
                          const std::function<void(const PipelineItem&)>& consume) {
    Exchange exchange(shape);
    const auto work = [&](std::size_t worker) {
        while (const auto item = exchange.claim(worker)) {
            std::exception_ptr failure;
            try {
                produce(*item);
            } catch (...) {
                failure = std::current_exception();
            }
            exchange.finish(*item, failure);
        }
    };

    std::vector<std::jthread> workers;
    const StopOnExit stop{exchange};  // declared after the threads: runs before they are joined
    for (std::size_t worker = 0; worker < shape.workers; ++worker) workers.emplace_back(work, worker);
    for (std::size_t index = 0; index < shape.count; ++index) {
        const PipelineItem item = exchange.await(index);
        consume(item);
        exchange.release(item);
    }
}

}  // namespace plasticity
