#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace plasticity {

/// Hands generated text on as it becomes final: what may be about to complete a stop string, and characters whose UTF-8
/// is not whole yet, are held back.
class TextStream {
public:
    using Sink = std::function<void(std::string_view)>;

    /// @param stop     empty strings among them count for nothing
    /// @param on_text  may be empty
    TextStream(std::vector<std::string> stop, Sink on_text);

    /// @returns true when a stop string has completed; it and what follows are cut off
    bool append(std::string_view piece);

    /// Hands on what was held back. @returns the whole text
    const std::string& finish();

    /// Bytes handed on so far.
    std::size_t emitted() const { return emitted_; }

private:
    std::size_t held_by_stop() const;
    void emit(std::size_t end);

    std::vector<std::string> stop_;
    Sink on_text_;
    std::string text_;
    std::size_t emitted_ = 0;
};

/// Bytes at the end of `text` that begin a UTF-8 sequence without finishing it.
std::size_t unfinished_utf8(std::string_view text);

}  // namespace plasticity
