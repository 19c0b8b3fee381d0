#include "ipc/client_channel.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace plasticity {
namespace {

/// A pipe that is ready takes this much without waiting (POSIX), a socket takes what it can.
constexpr std::size_t kMaxWrite = 4096;

bool is_over_for_now(ssize_t n) {
    return n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

ClientChannel::ClientChannel(int in, int out, Owned owned, const IpcLimits& limits)
    : in_(in), out_(out), owned_(owned), limits_(limits) {}

ClientChannel::~ClientChannel() {
    if (owned_ == Owned::kNo) return;
    ::close(in_);
    if (out_ != in_) ::close(out_);
}

void ClientChannel::read(const std::function<void(std::string_view)>& on_line,
                         const std::function<void()>& on_too_long) {
    std::array<char, 64 << 10> block{};
    const ssize_t n = ::read(in_, block.data(), block.size());
    if (is_over_for_now(n)) return;
    if (n < 0) broken_ = true;
    if (n <= 0) {
        ended_ = true;
        return;
    }
    take(std::string_view(block.data(), static_cast<std::size_t>(n)), on_line, on_too_long);
}

void ClientChannel::take(std::string_view bytes, const std::function<void(std::string_view)>& on_line,
                         const std::function<void()>& on_too_long) {
    while (!bytes.empty()) {
        const std::size_t end = bytes.find('\n');
        const std::string_view piece = bytes.substr(0, end);
        if (!skipping_ && line_.size() + piece.size() > limits_.request_bytes) {
            skipping_ = true;
            line_ = {};
            on_too_long();
        }
        if (!skipping_) line_ += piece;
        if (end == std::string_view::npos) return;
        if (!skipping_ && line_.find_first_not_of(" \t\r") != std::string::npos) on_line(line_);
        skipping_ = false;
        line_.clear();
        bytes.remove_prefix(end + 1);
    }
}

void ClientChannel::write() {
    const std::size_t n_bytes = std::min(unread(), kMaxWrite);
    const ssize_t n = ::write(out_, unsent_.data() + sent_, n_bytes);
    if (is_over_for_now(n)) return;
    if (n < 0) {
        broken_ = true;
        return;
    }
    sent_ += static_cast<std::size_t>(n);
    if (sent_ < unsent_.size() && sent_ < limits_.unread_notes) return;
    unsent_.erase(0, sent_);
    sent_ = 0;
}

void ClientChannel::answer(const std::string& line) {
    if (unread() + line.size() > limits_.unread_bytes) broken_ = true;
    if (!broken_) unsent_ += line;
}

void ClientChannel::note(const std::string& line) {
    if (!broken_ && unread() + line.size() <= limits_.unread_notes) unsent_ += line;
}

}  // namespace plasticity
