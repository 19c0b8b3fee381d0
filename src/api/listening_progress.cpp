#include "api/listening_progress.h"

#include <algorithm>
#include <csignal>

#include "core/interrupt.h"

namespace plasticity {

void ListeningProgress::tell(std::string_view detail, std::string_view note) {
    const ProgressEvent event{task_, done_, total_, unit_, detail, note};
    if (listener_.on_progress && !listener_.on_progress(event)) throw Interrupted(SIGINT);
}

void ListeningProgress::begin(std::string_view task, std::uint64_t total, std::string_view unit) {
    task_ = task;
    unit_ = unit;
    total_ = total;
    done_ = 0;
    tell({}, {});
}

void ListeningProgress::advance(std::uint64_t done, std::string_view detail) {
    done_ += done;
    tell(detail, {});
}

void ListeningProgress::end() {
    if (total_ > 0 && done_ >= total_) return;  // that was told
    done_ = std::max(done_, total_);
    tell({}, {});
}

void ListeningProgress::note(std::string_view message) {
    tell({}, message);
}

void ListeningProgress::text(std::string_view piece) {
    if (listener_.on_text && !listener_.on_text(piece)) throw Interrupted(SIGINT);
}

}  // namespace plasticity
