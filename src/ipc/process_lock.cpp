#include "ipc/process_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "core/error.h"

namespace plasticity {

ProcessLock::ProcessLock(const std::filesystem::path& file, Inherit inherit)
    : file_(file),
      descriptor_(
          ::open(file.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | (inherit == Inherit::kYes ? 0 : O_CLOEXEC), 0600)) {
    if (descriptor_ < 0)
        throw Error(ErrorKind::kIo, fmt::format("{}: cannot be opened: {}", file.string(), system_reason(errno)));
}

ProcessLock::~ProcessLock() {
    ::close(descriptor_);
}

bool ProcessLock::try_lock() {
    while (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return false;
        if (errno != EINTR)
            throw Error(ErrorKind::kIo, fmt::format("{}: cannot be locked: {}", file_.string(), system_reason(errno)));
    }
    return true;
}

}  // namespace plasticity
