#include "model/tokenizer_check.h"

#include <fmt/format.h>

#include <optional>
#include <unordered_map>

#include "io/printable.h"
#include "model/attempt.h"

namespace plasticity {
namespace {

void check_duplicates(const std::vector<std::string>& tokens, ProblemList& problems) {
    std::unordered_map<std::string_view, std::size_t> first_seen;
    first_seen.reserve(tokens.size());
    for (std::size_t id = 0; id < tokens.size(); ++id)
        if (const auto [place, is_new] = first_seen.emplace(tokens[id], id); !is_new) {
            problems.add(fmt::format("tokenizer.ggml.tokens: tokens {} and {} are both {}; expected distinct ones",
                                     place->second, id, printable(tokens[id])));
            return;  // one is telling enough: a broken list has thousands
        }
}

template <typename T>
void check_length(const GgufMetadata& metadata, std::string_view key, std::size_t n_tokens, ProblemList& problems) {
    attempt(problems, [&] {
        const std::vector<T>* values = metadata.array<T>(key);
        if (values && values->size() != n_tokens)
            problems.add(fmt::format("{}: got {} entries; expected one for each of the {} tokens", key, values->size(),
                                     n_tokens));
    });
}

}  // namespace

const std::vector<SpecialTokenName>& special_token_names() {
    static const std::vector<SpecialTokenName> names{
        {"bos", "bos"},         {"eos", "eos"},         {"eot", "eot"},         {"eom", "eom"},
        {"unknown", "unk"},     {"seperator", "sep"},   {"padding", "pad"},     {"mask", "mask"},
        {"fim_pre", "fim_pre"}, {"fim_suf", "fim_suf"}, {"fim_mid", "fim_mid"}, {"fim_pad", "fim_pad"},
        {"fim_rep", "fim_rep"}, {"fim_sep", "fim_sep"},
    };
    return names;
}

void check_tokenizer(const GgufMetadata& metadata, ProblemList& problems) {
    const std::vector<std::string>* tokens = nullptr;
    attempt(problems, [&] { tokens = metadata.array<std::string>("tokenizer.ggml.tokens"); });
    if (!tokens) return;

    attempt(problems, [&] { metadata.text("tokenizer.ggml.model"); });
    check_duplicates(*tokens, problems);
    check_length<std::int32_t>(metadata, "tokenizer.ggml.token_type", tokens->size(), problems);
    check_length<float>(metadata, "tokenizer.ggml.scores", tokens->size(), problems);
    attempt(problems, [&] { metadata.array<std::string>("tokenizer.ggml.merges"); });
    for (const SpecialTokenName& name : special_token_names())
        attempt(problems, [&] {
            if (!metadata.contains(name.key())) return;
            const std::int64_t id = metadata.integer(name.key());
            if (id < 0 || std::cmp_greater_equal(id, tokens->size()))
                problems.add(fmt::format("{}: got {}; expected an id below {}", name.key(), id, tokens->size()));
        });
}

}  // namespace plasticity
