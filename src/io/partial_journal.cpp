#include "io/partial_journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "core/interrupt.h"
#include "io/atomic_file.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kMaxJournalBytes = std::uint64_t{64} << 20;  // a line a tensor: some 100 kB for 70B models
constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
constexpr std::size_t kDigestLength = 64;

struct Line {
    std::uint64_t end = 0;
    std::string_view digest;
};

/// "<end> <digest>"; nothing where it is anything else.
std::optional<Line> parse_line(std::string_view text) {
    Line line;
    const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), line.end);
    const auto n_digits = static_cast<std::size_t>(stop - text.data());
    if (problem != std::errc() || text.size() != n_digits + 1 + kDigestLength || text[n_digits] != ' ')
        return std::nullopt;
    line.digest = text.substr(n_digits + 1);
    return line;
}

/// Adds the bytes [begin, end) of a file. @returns false where they cannot be read
bool add_bytes(int descriptor, std::uint64_t begin, std::uint64_t end, Sha256& hash) {
    std::vector<std::byte> block(kBlockBytes);
    while (begin < end) {
        throw_if_interrupted();
        const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), end - begin));
        const ssize_t got = ::pread(descriptor, block.data(), wanted, static_cast<off_t>(begin));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        hash.update(std::span(block).first(static_cast<std::size_t>(got)));
        begin += static_cast<std::uint64_t>(got);
    }
    return true;
}

/// What is left of an earlier journal; empty where there is none that can be read.
std::string read_leftover(const std::filesystem::path& path) {
    try {
        std::error_code ignored;
        if (std::filesystem::is_symlink(path, ignored)) return "";
        return read_text_file(path, kMaxJournalBytes);
    } catch (const Error&) {
        return "";  // then everything is made anew, which is always right
    }
}

}  // namespace

std::filesystem::path journal_path(const std::filesystem::path& partial) {
    return partial.string() + ".journal";
}

PartialJournal::PartialJournal(const std::filesystem::path& partial, const std::string& key)
    : path_(journal_path(partial)), heading_(fmt::format("plasticity partial 2 {}\n", sha256_hex(key))) {}

// Delegates, so that the destructor cleans up when verification is interrupted.
PartialJournal::PartialJournal(const std::filesystem::path& partial, int descriptor, const std::string& key)
    : PartialJournal(partial, key) {
    verify(read_leftover(path_), descriptor);
}

PartialJournal::~PartialJournal() {
    if (descriptor_ >= 0) ::close(descriptor_);
    ::unlink(path_.c_str());
}

void PartialJournal::verify(const std::string& text, int descriptor) {
    std::string_view rest = text;
    std::string kept;
    if (rest.starts_with(heading_)) {
        rest.remove_prefix(heading_.size());
        for (std::size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
            const std::optional<Line> line = parse_line(rest.substr(0, end));
            if (!line || line->end <= verified_bytes_) break;
            Sha256 up_to_end = bytes_hash_;
            if (!add_bytes(descriptor, verified_bytes_, line->end, up_to_end)) break;
            if (Sha256(up_to_end).finish() != line->digest) break;
            bytes_hash_ = up_to_end;
            verified_bytes_ = line->end;
            kept.append(rest.substr(0, end + 1));
            rest.remove_prefix(end + 1);
        }
    }
    bytes_ = marked_bytes_ = verified_bytes_;
    lines_ = heading_ + kept;
}

/// Not before there is something to say: until then what is left over says the same of the bytes that are kept.
void PartialJournal::start() {
    ::unlink(path_.c_str());  // rather than to write into whatever lies there
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (descriptor_ < 0)
        throw Error(ErrorKind::kIo, fmt::format("{}: cannot be created: {}", path_.string(), system_reason(errno)));
    append(lines_);
    lines_.clear();
}

void PartialJournal::append(const std::string& line) {
    for (std::string_view rest = line; !rest.empty();) {
        const ssize_t put = ::write(descriptor_, rest.data(), rest.size());
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0)
            throw Error(ErrorKind::kIo,
                        fmt::format("{}: cannot be written: {}", path_.string(), system_reason(put < 0 ? errno : EIO)));
        rest.remove_prefix(static_cast<std::size_t>(put));
    }
}

void PartialJournal::add(std::span<const std::byte> bytes) {
    bytes_hash_.update(bytes);
    bytes_ += bytes.size();
}

void PartialJournal::mark() {
    if (bytes_ == marked_bytes_) return;
    if (descriptor_ < 0) start();
    append(fmt::format("{} {}\n", bytes_, sha256()));
    marked_bytes_ = bytes_;
}

}  // namespace plasticity
