#include "heal/teacher.h"

namespace plasticity {

Teacher::Teacher(Decoder& base, std::span<const Example> examples, Progress& progress)
    : base_(base), hidden_(examples.size()) {
    const auto width = static_cast<std::size_t>(base.architecture().n_embd);
    std::uint64_t n_tokens = 0;
    for (const Example& example : examples) n_tokens += example.tokens.size();
    progress.begin("base", n_tokens, "tokens");
    for (std::size_t i = 0; i < examples.size(); ++i) {
        const std::span tokens(examples[i].tokens);
        base.clear();
        base.feed_hidden(tokens.first(tokens.size() - 1), 0, hidden_[i]);
        progress.advance(tokens.size());
    }
    progress.end();
    for (const std::vector<float>& rows : hidden_)
        logits_.emplace_back([this, &rows, width](std::int64_t first, std::int64_t n, std::vector<float>& logits) {
            const auto begin = static_cast<std::size_t>(first) * width, size = static_cast<std::size_t>(n) * width;
            base_.compute_logits(std::span(rows).subspan(begin, size), OutputMatrix::kInUse, logits);
        });
}

}  // namespace plasticity
