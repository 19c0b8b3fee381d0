#include "model/tokenizer_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <unordered_map>

#include "io/printable.h"
#include "model/attempt.h"
#include "model/token_type.h"

namespace plasticity {
namespace {

/// What stock llama.cpp can make sense of. Its other kinds serve other families, and what they read is checked nowhere.
constexpr std::array<std::string_view, 2> kModels{"gpt2", "llama"};

void check_model(const GgufMetadata& metadata, ProblemList& problems) {
    const std::string& model = metadata.text("tokenizer.ggml.model");
    if (std::ranges::find(kModels, model) == kModels.end())
        problems.add(
            fmt::format("tokenizer.ggml.model: got {}; expected {}", printable(model), fmt::join(kModels, " or ")));
}

/// A token as stock llama.cpp takes it from the file: a C string, and where it is empty a name by its number.
std::string name_of(const std::string& token, std::size_t id) {
    const std::string text = token.c_str();
    return text.empty() ? fmt::format("[EMPTY_{}]", id) : text;
}

void check_duplicates(const std::vector<std::string>& tokens, ProblemList& problems) {
    std::unordered_map<std::string, std::size_t> first_seen;
    first_seen.reserve(tokens.size());
    for (std::size_t id = 0; id < tokens.size(); ++id)
        if (const auto [place, is_new] = first_seen.emplace(name_of(tokens[id], id), id); !is_new) {
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

/// Stock llama.cpp takes the two digits of "<0x0A>" without looking whether they are there.
void check_byte_tokens(const GgufMetadata& metadata, const std::vector<std::string>& tokens, ProblemList& problems) {
    const auto* types = metadata.array<std::int32_t>("tokenizer.ggml.token_type");
    if (!types || types->size() != tokens.size()) return;
    for (std::size_t id = 0; id < tokens.size(); ++id) {
        const std::string& token = tokens[id];
        const bool is_spelt_so = token.size() == 6 && token.starts_with("<0x") && token.ends_with('>') &&
                                 std::isxdigit(static_cast<unsigned char>(token[3])) != 0 &&
                                 std::isxdigit(static_cast<unsigned char>(token[4])) != 0;
        if ((*types)[id] != kTokenByte || is_spelt_so) continue;
        problems.add(fmt::format("tokenizer.ggml.tokens: token {} is {}, of type byte; expected one like <0x0A>", id,
                                 printable(token)));
        return;
    }
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

    attempt(problems, [&] { check_model(metadata, problems); });
    check_duplicates(*tokens, problems);
    check_length<std::int32_t>(metadata, "tokenizer.ggml.token_type", tokens->size(), problems);
    attempt(problems, [&] { check_byte_tokens(metadata, *tokens, problems); });
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
