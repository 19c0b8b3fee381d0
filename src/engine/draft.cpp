#include "engine/draft.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "engine/divergence.h"
#include "engine/token_prefix.h"
#include "model/model.h"

namespace plasticity {
namespace {

/// A guess less likely than this to the draft itself is not worth its place in the pass.
constexpr double kLeastProbability = 0.5;

void require_same_vocabulary(const Tokenizer& draft, const Tokenizer& tokenizer, const std::filesystem::path& path) {
    if (const auto first = first_difference(draft, tokenizer))
        throw Error(ErrorKind::kUsage,
                    fmt::format("draft: {} has {} tokens, the model {}, and token {} differs; expected the same "
                                "vocabulary, such as a smaller file of the same model has it",
                                path.string(), draft.size(), tokenizer.size(), *first));
}

}  // namespace

std::unique_ptr<Draft> Draft::open(const DraftRequest& request, const Tokenizer& tokenizer, std::int32_t context_length,
                                   const RunOn& on, Progress& progress) {
    if (!request.model) return nullptr;
    const auto model = open_model(*request.model);
    require_same_vocabulary(Tokenizer(model->tokenizer()), tokenizer, *request.model);
    auto decoder =
        std::make_unique<Decoder>(*model, decoder_options(model->architecture(), {}, context_length, on), progress);
    return std::make_unique<Draft>(std::move(decoder), request.most);
}

/// Until the decoder holds the text, and logits_ is what follows it.
void Draft::read(std::span<const std::int32_t> text) {
    // The last token is fed again even where it is known: nobody kept what followed it.
    const std::size_t n_known = std::min(common_prefix(read_, text), text.size() - 1);
    decoder_->rewind(static_cast<std::int32_t>(n_known));
    read_.resize(n_known);
    const auto news = text.subspan(n_known);
    decoder_->feed(news, news.size() - 1,
                   [&](std::int32_t, std::span<const float> row) { logits_.assign(row.begin(), row.end()); });
    read_.assign(text.begin(), text.end());
}

std::vector<std::int32_t> Draft::guess(std::span<const std::int32_t> text, std::int32_t at_most) {
    const auto most = static_cast<std::size_t>(std::max(0, std::min(most_, at_most)));
    if (text.size() + most > static_cast<std::size_t>(decoder_->context_length())) return {};
    std::vector<std::int32_t> longer(text.begin(), text.end());
    while (longer.size() < text.size() + most) {
        read(longer);
        const auto likeliest = static_cast<std::int32_t>(std::ranges::max_element(logits_) - logits_.begin());
        if (std::exp(log_softmax_at(logits_, likeliest)) < kLeastProbability) break;
        longer.push_back(likeliest);
    }
    return {longer.begin() + std::ssize(text), longer.end()};
}

CacheRequest cache_beside(const DraftRequest& draft, CacheRequest cache) {
    if (draft.model && !cache.repack) cache.repack = false;
    return cache;
}

}  // namespace plasticity
