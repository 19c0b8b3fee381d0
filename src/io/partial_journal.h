#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "core/hash.h"

namespace plasticity {

/// What is known of a temporary while it is being written, so that a later process can tell how much of it to keep
/// after this one was killed. A text file, `<temporary>.journal`:
///
///     plasticity partial 2 <SHA-256 of the key>
///     <bytes so far> <SHA-256 of all of them>
///     …
///
/// Nothing in it is trusted: bytes count as written only where they have the digest that the journal says, under the
/// same key, so neither a torn line nor a lost block nor another run's left-overs can get into an output.
class PartialJournal {
public:
    /// Checks what is left of `partial` (open for reading) against the journal beside it. Afterwards the journal
    /// vouches for verified_bytes() and no more. Reads each of these bytes once.
    /// @param key  what the file is made from, and by what: the whole of it decides
    /// @throws Error (kIo), Interrupted
    PartialJournal(const std::filesystem::path& partial, int descriptor, const std::string& key);
    /// Removes the journal.
    ~PartialJournal();
    PartialJournal(const PartialJournal&) = delete;
    PartialJournal& operator=(const PartialJournal&) = delete;

    std::uint64_t verified_bytes() const { return verified_bytes_; }
    /// Of all bytes of the temporary so far: the line that a mark would write.
    std::string sha256() const { return Sha256(bytes_hash_).finish(); }

    /// Bytes that were appended to the temporary.
    void add(std::span<const std::byte> bytes);
    /// Everything added so far may be kept. @throws Error (kIo)
    void mark();

private:
    PartialJournal(const std::filesystem::path& partial, const std::string& key);
    void verify(const std::string& text, int descriptor);
    void start();
    void append(const std::string& line);

    std::filesystem::path path_;
    std::string heading_;
    std::string lines_;  ///< to begin with, when it is written: the heading, and what still holds
    int descriptor_ = -1;
    std::uint64_t verified_bytes_ = 0;
    std::uint64_t bytes_ = 0;         ///< of the temporary
    std::uint64_t marked_bytes_ = 0;  ///< of these, what the last line covers
    Sha256 bytes_hash_;               ///< of the temporary so far
};

std::filesystem::path journal_path(const std::filesystem::path& partial);

}  // namespace plasticity
