#include "engine/text_stream.h"

#include <algorithm>
#include <utility>

namespace plasticity {

TextStream::TextStream(std::vector<std::string> stop, Sink on_text)
    : stop_(std::move(stop)), on_text_(std::move(on_text)) {
    std::erase(stop_, std::string());
}

bool TextStream::append(std::string_view piece) {
    text_ += piece;
    std::size_t end = std::string::npos;
    for (const std::string& stop : stop_) end = std::min(end, text_.find(stop, emitted_));
    if (end != std::string::npos) {
        text_.resize(end);
        emit(end);
        return true;
    }
    emit(text_.size() - std::max(held_by_stop(), unfinished_utf8(text_)));
    return false;
}

const std::string& TextStream::finish() {
    emit(text_.size());
    return text_;
}

std::size_t TextStream::held_by_stop() const {
    std::size_t held = 0;
    for (const std::string& stop : stop_)
        for (std::size_t n = std::min(stop.size(), text_.size() - emitted_); n > held; --n)
            if (text_.ends_with(std::string_view(stop).substr(0, n))) held = n;
    return held;
}

void TextStream::emit(std::size_t end) {
    if (end <= emitted_) return;
    if (on_text_) on_text_(std::string_view(text_).substr(emitted_, end - emitted_));
    emitted_ = end;
}

std::size_t unfinished_utf8(std::string_view text) {
    for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
        const auto byte = static_cast<unsigned char>(text[text.size() - back]);
        if ((byte & 0xC0) == 0x80) continue;
        const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
        return length > back ? back : 0;
    }
    return 0;
}

}  // namespace plasticity
