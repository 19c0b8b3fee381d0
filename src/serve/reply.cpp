#include "serve/reply.h"

#include <utility>

namespace plasticity {

void Reply::put(ReplyEvent event) {
    {
        const std::lock_guard lock(mutex_);
        if (event.end || !event.failure.empty()) --open_;
        events_.push_back(std::move(event));
    }
    arrived_.notify_one();
}

std::optional<ReplyEvent> Reply::take(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, patience, [&] { return !events_.empty() || open_ == 0; });
    if (events_.empty()) return std::nullopt;
    ReplyEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
}

bool Reply::finished() const {
    const std::lock_guard lock(mutex_);
    return open_ == 0 && events_.empty();
}

}  // namespace plasticity
