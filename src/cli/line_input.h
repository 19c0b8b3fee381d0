#pragma once

#include <optional>
#include <string>

namespace plasticity {

/// Lines of a terminal, a pipe or a file, waited for in a way that signals end.
class LineInput {
public:
    explicit LineInput(int descriptor) : descriptor_(descriptor) {}

    /// The next line without its break, also when the input ends without one; nothing at the end.
    /// @throws Error (kUsage for a line of more than kMaxLineBytes, kIo), Interrupted
    std::optional<std::string> next();

    static constexpr std::size_t kMaxLineBytes = 1 << 20;

private:
    /// @returns false at the end of the input
    bool read_more();

    int descriptor_;
    std::string buffer_;
    bool ended_ = false;
};

}  // namespace plasticity
