#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "ipc/limits.h"

namespace plasticity {

/// One client's lines in both directions, none of which is ever waited for: what it does not take is kept, within
/// limits, and what it sends is cut into lines, of which one that is too long is skipped to its end.
class ClientChannel {
public:
    enum class Owned { kNo, kYes };
    /// @param in, out  one socket, or a pair of streams; closed at the end where they are owned
    ClientChannel(int in, int out, Owned owned, const IpcLimits& limits);
    ~ClientChannel();
    ClientChannel(const ClientChannel&) = delete;
    ClientChannel& operator=(const ClientChannel&) = delete;

    int in() const { return in_; }
    int out() const { return out_; }
    bool wants_to_read() const { return !ended_ && !broken_; }
    bool wants_to_write() const { return !broken_ && sent_ < unsent_.size(); }
    /// A socket whose other end is gone: answers would reach nobody. Of a pair of streams the end of one says nothing.
    bool can_hang_up() const { return ended_ && !broken_ && in_ == out_; }
    void hang_up() { broken_ = true; }
    /// Nothing more can come of it: it is gone, or has sent all and taken all.
    bool is_finished() const { return broken_ || (ended_ && !wants_to_write() && waiting.empty()); }

    /// @param on_line      told each whole line
    /// @param on_too_long  told once for each line beyond the limit
    void read(const std::function<void(std::string_view)>& on_line, const std::function<void()>& on_too_long);
    void write();
    /// Queues an answer.
    void answer(const std::string& line);
    /// Queues what may be left out when the client is slow.
    void note(const std::string& line);

    /// Ids of the requests that wait for a job.
    std::multimap<std::int64_t, std::optional<nlohmann::json>> waiting;

private:
    void take(std::string_view bytes, const std::function<void(std::string_view)>& on_line,
              const std::function<void()>& on_too_long);
    std::size_t unread() const { return unsent_.size() - sent_; }

    int in_, out_;
    Owned owned_;
    const IpcLimits& limits_;
    std::string line_, unsent_;
    std::size_t sent_ = 0;
    bool skipping_ = false;  ///< the rest of a line that was too long
    bool ended_ = false;     ///< sends nothing more
    bool broken_ = false;
};

}  // namespace plasticity
