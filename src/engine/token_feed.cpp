#include "engine/token_feed.h"

namespace plasticity {

std::span<const float> TokenFeed::begin(std::span<const std::int32_t> held, std::span<const std::int32_t> prompt) {
    rows_.clear();
    guesses_.clear();
    n_taken_ = 0;
    decoder_.feed(prompt, prompt.size() - 1,
                  [&](std::int32_t, std::span<const float> row) { rows_.assign(row.begin(), row.end()); });
    text_.assign(held.begin(), held.end());
    text_.insert(text_.end(), prompt.begin(), prompt.end());
    return row(0);
}

std::span<const float> TokenFeed::append(std::int32_t token) {
    if (n_taken_ < guesses_.size() && guesses_[n_taken_] == token) {
        text_.push_back(token);
        ++counts_.accepted;
        return row(++n_taken_);
    }
    settle();
    text_.push_back(token);
    guesses_.clear();
    n_taken_ = 0;
    if (draft_ != nullptr) guesses_ = draft_->guess(text_, decoder_.context_length() - position());
    counts_.guessed += std::ssize(guesses_);
    std::vector<std::int32_t> pass{token};
    pass.insert(pass.end(), guesses_.begin(), guesses_.end());
    rows_.clear();
    decoder_.feed(pass, 0,
                  [&](std::int32_t, std::span<const float> row) { rows_.insert(rows_.end(), row.begin(), row.end()); });
    return row(0);
}

std::span<const float> TokenFeed::row(std::size_t index) const {
    const auto n_vocab = static_cast<std::size_t>(decoder_.architecture().n_vocab);
    return std::span(rows_).subspan(index * n_vocab, n_vocab);
}

}  // namespace plasticity
