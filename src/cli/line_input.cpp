#include "cli/line_input.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/interrupt.h"

namespace plasticity {
namespace {

/// A signal that arrives between the check for it and the wait would otherwise be noticed with the next line only.
constexpr int kWaitMs = 200;

[[noreturn]] void fail(const char* what) {
    throw Error(ErrorKind::kIo, fmt::format("standard input: {} failed: {}", what, std::strerror(errno)));
}

}  // namespace

std::optional<std::string> LineInput::next() {
    for (;;) {
        const std::size_t end = buffer_.find('\n');
        if (end != std::string::npos || (ended_ && !buffer_.empty())) {
            std::string line = buffer_.substr(0, end);
            buffer_.erase(0, end == std::string::npos ? end : end + 1);
            if (line.ends_with('\r')) line.pop_back();
            return line;
        }
        if (ended_) return std::nullopt;
        if (buffer_.size() > kMaxLineBytes)
            throw Error(ErrorKind::kUsage,
                        fmt::format("standard input: a line of more than {} bytes; break it up", kMaxLineBytes));
        ended_ = !read_more();
    }
}

bool LineInput::read_more() {
    for (;;) {
        throw_if_interrupted();
        pollfd wait{descriptor_, POLLIN, 0};
        const int ready = poll(&wait, 1, kWaitMs);
        if (ready < 0 && errno != EINTR) fail("waiting");
        if (ready <= 0) continue;
        char block[4096];
        const ssize_t n = read(descriptor_, block, sizeof block);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0) fail("reading");
        buffer_.append(block, static_cast<std::size_t>(n));
        return n > 0;
    }
}

}  // namespace plasticity
