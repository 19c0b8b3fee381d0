#include "model/piece_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_map>

#include "core/error.h"
#include "io/printable.h"

namespace plasticity {
namespace {

constexpr std::size_t kMaxTokenBytes = 512;

using TokenIds = std::unordered_map<std::string_view, std::int32_t>;

TokenIds index_of(std::span<const std::string> tokens) {
    TokenIds ids;
    ids.reserve(tokens.size());
    for (std::size_t id = 0; id < tokens.size(); ++id) ids.emplace(tokens[id], static_cast<std::int32_t>(id));
    return ids;
}

bool starts_letter(char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;  // not a continuation byte of UTF-8
}

/// Calls visit(left, right) for each split of the token into two others, the longest left part first. None for a token
/// that holds a space: pieces are joined only after spaces became U+2581.
template <typename Visit>
void for_each_split(std::string_view token, const TokenIds& ids, Visit&& visit) {
    if (token.find(' ') != std::string_view::npos) return;
    for (std::size_t at = token.size(); at-- > 1;) {
        if (!starts_letter(token[at])) continue;
        const auto left = ids.find(token.substr(0, at));
        if (left == ids.end()) continue;
        const auto right = ids.find(token.substr(at));
        if (right != ids.end()) visit(left->second, right->second);
    }
}

void require_sensible_length(std::string_view token) {
    if (token.size() > kMaxTokenBytes)
        throw Error(ErrorKind::kMalformed, fmt::format("token {}: got {} bytes; expected at most {}",
                                                       printable(token, 40), token.size(), kMaxTokenBytes));
}

/// How many merges make each token. A merge that stands twice counts twice, which the check below then finds.
std::vector<std::size_t> count_merges(std::span<const Merge> merges, std::size_t n_tokens) {
    std::vector<std::size_t> counts(n_tokens);
    for (const Merge& merge : merges) ++counts[static_cast<std::size_t>(merge.whole)];
    return counts;
}

// With scores any two neighbours join whose join is a token; merges could forbid some of them.
void require_every_split(std::span<const Merge> merges, std::span<const std::string> tokens) {
    const TokenIds ids = index_of(tokens);
    const std::vector<std::size_t> counts = count_merges(merges, tokens.size());
    for (std::size_t id = 0; id < tokens.size(); ++id) {
        require_sensible_length(tokens[id]);
        std::size_t n_splits = 0;
        for_each_split(tokens[id], ids, [&](std::int32_t, std::int32_t) { ++n_splits; });
        if (n_splits != counts[id])
            throw Error(ErrorKind::kMalformed,
                        fmt::format("model.merges: got {} merges that make {}; expected one for each of its {} splits "
                                    "into two tokens, as in files converted from SentencePiece",
                                    counts[id], printable(tokens[id]), n_splits));
    }
}

}  // namespace

std::vector<float> scores_of_merges(std::span<const Merge> merges, std::span<const std::string> tokens) {
    require_every_split(merges, tokens);
    std::vector<float> scores(tokens.size());
    std::vector<bool> is_ranked(tokens.size());
    std::size_t rank = 0;
    const auto give_next_rank = [&](std::size_t id) {
        if (is_ranked[id]) return;
        is_ranked[id] = true;
        scores[id] = -static_cast<float>(rank++);
    };
    for (const Merge& merge : merges) give_next_rank(static_cast<std::size_t>(merge.whole));
    for (std::size_t id = 0; id < tokens.size(); ++id) give_next_rank(id);
    return scores;
}

std::vector<Merge> merges_of_scores(std::span<const float> scores, std::span<const std::string> tokens) {
    const TokenIds ids = index_of(tokens);
    std::vector<std::size_t> order(tokens.size());
    for (std::size_t id = 0; id < tokens.size(); ++id) {
        require_sensible_length(tokens[id]);
        if (std::isnan(scores[id]))
            throw Error(ErrorKind::kMalformed, fmt::format("tokenizer.ggml.scores: entry {} is not a number", id));
        order[id] = id;
    }
    // Of equal scores the longer token, so that runs of spaces grow from the left as they do in llama.cpp.
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
        if (scores[a] != scores[b]) return scores[a] > scores[b];
        return tokens[a].size() > tokens[b].size();
    });
    std::vector<Merge> merges;
    for (const std::size_t id : order)
        for_each_split(tokens[id], ids, [&](std::int32_t left, std::int32_t right) {
            merges.push_back({left, right, static_cast<std::int32_t>(id)});
        });
    return merges;
}

}  // namespace plasticity
