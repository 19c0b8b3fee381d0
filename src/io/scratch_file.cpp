#include "io/scratch_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "core/error.h"

namespace plasticity {
namespace {

[[noreturn]] void fail(const std::filesystem::path& folder, std::string_view what, int error) {
    throw Error(ErrorKind::kIo,
                fmt::format("{}: cannot {} a temporary file: {}", folder.string(), what, system_reason(error)));
}

}  // namespace

ScratchFile::ScratchFile(const std::filesystem::path& folder) : folder_(folder.empty() ? "." : folder) {
    std::string name = (folder_ / ".plasticity.XXXXXX").string();
    descriptor_ = mkostemp(name.data(), O_CLOEXEC);
    if (descriptor_ < 0) fail(folder_, "make", errno);
    unlink(name.c_str());
}

ScratchFile::~ScratchFile() {
    close(descriptor_);
}

void ScratchFile::write(std::uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) fail(folder_, "write to", n < 0 ? errno : ENOSPC);
        bytes = bytes.subspan(static_cast<std::size_t>(n));
        offset += static_cast<std::uint64_t>(n);
    }
}

void ScratchFile::read(std::uint64_t offset, std::span<std::byte> out) const {
    while (!out.empty()) {
        const ssize_t n = pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) fail(folder_, "read from", n < 0 ? errno : EIO);
        out = out.subspan(static_cast<std::size_t>(n));
        offset += static_cast<std::uint64_t>(n);
    }
}

}  // namespace plasticity
