#include "engine/tokenizer.h"

#include <fmt/format.h>
#include <gguf.h>
#include <llama.h>

#include <algorithm>
#include <exception>
#include <tuple>
#include <type_traits>

#include "core/error.h"
#include "engine/character_runs.h"
#include "engine/libllama_log.h"
#include "model/tokenizer_check.h"

namespace plasticity {
namespace {

/// For deepseek's tokenizers libllama splits text by std::regex, which recurses for every character of a match: in a
/// stack of 8 MiB, 40,000 letters without a break between them end the process (libstdc++ 12).
constexpr std::size_t kLongestSplitRun = 8000;

struct GgufContextDeleter {
    void operator()(gguf_context* context) const noexcept { gguf_free(context); }
};
using GgufContextPtr = std::unique_ptr<gguf_context, GgufContextDeleter>;

template <typename T>
constexpr gguf_type type_number() {
    return static_cast<gguf_type>(GgufValue(T{}).index());
}

void set_array(gguf_context* context, const char* key, const GgufArray& array) {
    std::visit(
        [&](const auto& values) {
            using T = typename std::decay_t<decltype(values)>::value_type;
            if constexpr (std::is_same_v<T, std::string>) {
                std::vector<const char*> pointers;
                for (const std::string& value : values) pointers.push_back(value.c_str());
                gguf_set_arr_str(context, key, pointers.data(), pointers.size());
            } else if constexpr (std::is_same_v<T, bool>) {
                const std::vector<std::int8_t> bytes(values.begin(), values.end());
                gguf_set_arr_data(context, key, GGUF_TYPE_BOOL, bytes.data(), bytes.size());
            } else {
                gguf_set_arr_data(context, key, type_number<T>(), values.data(), values.size());
            }
        },
        array);
}

void set_value(gguf_context* context, const char* key, const GgufValue& value) {
    struct Setter {
        gguf_context* context;
        const char* key;
        void operator()(std::uint8_t v) const { gguf_set_val_u8(context, key, v); }
        void operator()(std::int8_t v) const { gguf_set_val_i8(context, key, v); }
        void operator()(std::uint16_t v) const { gguf_set_val_u16(context, key, v); }
        void operator()(std::int16_t v) const { gguf_set_val_i16(context, key, v); }
        void operator()(std::uint32_t v) const { gguf_set_val_u32(context, key, v); }
        void operator()(std::int32_t v) const { gguf_set_val_i32(context, key, v); }
        void operator()(float v) const { gguf_set_val_f32(context, key, v); }
        void operator()(bool v) const { gguf_set_val_bool(context, key, v); }
        void operator()(const std::string& v) const { gguf_set_val_str(context, key, v.c_str()); }
        void operator()(const GgufArray& v) const { set_array(context, key, v); }
        void operator()(std::uint64_t v) const { gguf_set_val_u64(context, key, v); }
        void operator()(std::int64_t v) const { gguf_set_val_i64(context, key, v); }
        void operator()(double v) const { gguf_set_val_f64(context, key, v); }
    };
    std::visit(Setter{context, key}, value);
}

/// The keys that libllama reads of the kinds of tokenizer that model/tokenizer_check.h lets pass. Nothing else reaches
/// it: what is not known has not been checked, and a million keys would take its linear search hours.
std::vector<std::string> keys_for_libllama() {
    std::vector<std::string> keys;
    for (const char* name : {"model", "pre", "tokens", "token_type", "scores", "merges", "add_bos_token",
                             "add_eos_token", "add_space_prefix", "remove_extra_whitespaces"})
        keys.push_back(fmt::format("tokenizer.ggml.{}", name));
    for (const SpecialTokenName& name : special_token_names()) keys.push_back(name.key());
    return keys;
}

/// libllama ends the process where it is to add a token that it does not have.
void require_added_tokens(const llama_vocab* vocab) {
    for (const auto& [name, is_added, id] : {std::tuple{"bos", llama_vocab_get_add_bos(vocab), llama_vocab_bos(vocab)},
                                             {"eos", llama_vocab_get_add_eos(vocab), llama_vocab_eos(vocab)}})
        if (is_added && id == LLAMA_TOKEN_NULL)
            throw Error(ErrorKind::kMalformed, fmt::format("tokenizer: a text is to be given the {0} token; expected "
                                                           "tokenizer.ggml.{0}_token_id to say which that is",
                                                           name));
}

}  // namespace

void Tokenizer::ModelDeleter::operator()(llama_model* model) const noexcept {
    llama_model_free(model);
}

Tokenizer::Tokenizer(const GgufMetadata& tokenizer)
    : chat_template_(tokenizer.text_or("tokenizer.chat_template", "")),
      splits_recursively_(tokenizer.text_or("tokenizer.ggml.pre", "").starts_with("deepseek")) {
    if (!tokenizer.contains("tokenizer.ggml.tokens"))
        throw Error(ErrorKind::kMalformed,
                    "tokenizer: the model carries no vocabulary (tokenizer.ggml.tokens); was it written with "
                    "--no-tokenizer?");
    const LibllamaLog log;
    const GgufContextPtr metadata(gguf_init_empty());
    // Any architecture will do: with vocab_only, libllama reads nothing but the tokenizer.
    gguf_set_val_str(metadata.get(), "general.architecture", "llama");
    for (const std::string& key : keys_for_libllama())
        if (const GgufValue* value = tokenizer.find(key)) set_value(metadata.get(), key.c_str(), *value);
    llama_model_params parameters = llama_model_default_params();
    parameters.vocab_only = true;
    model_.reset(llama_model_init_from_user(metadata.get(), [](ggml_tensor*, void*) {}, nullptr, parameters));
    if (!model_) throw Error(ErrorKind::kMalformed, fmt::format("tokenizer: libllama refuses it: {}", log.text()));
    require_added_tokens(vocab());
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;

const llama_vocab* Tokenizer::vocab() const {
    return llama_model_get_vocab(model_.get());
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, bool add_special, bool parse_special) const {
    if (text.size() > static_cast<std::size_t>(INT32_MAX) / 2)
        throw Error(ErrorKind::kUsage, fmt::format("tokenizer: a text of {} bytes; expected less than 1 GiB; "
                                                   "split it into files",
                                                   text.size()));
    if (const std::size_t run = splits_recursively_ ? longest_run(text) : 0; run > kLongestSplitRun)
        throw Error(ErrorKind::kUsage, fmt::format("tokenizer: a word of {} characters; this model's kind of tokenizer "
                                                   "takes {} at most",
                                                   run, kLongestSplitRun));
    std::vector<std::int32_t> tokens(text.size() + 2);  // a token covers at least one byte, plus BOS and EOS
    std::int32_t n = 0;
    try {
        n = llama_tokenize(vocab(), text.data(), static_cast<std::int32_t>(text.size()), tokens.data(),
                           static_cast<std::int32_t>(tokens.size()), add_special, parse_special);
    } catch (const std::exception& problem) {  // a byte for which a vocabulary with byte fallback has no token
        throw Error(ErrorKind::kMalformed,
                    fmt::format("tokenizer: the vocabulary lacks a token for a byte of the text ({})", problem.what()));
    }
    if (n < 0)
        throw Error(ErrorKind::kInternal, fmt::format("tokenizer: {} bytes of text gave {} tokens", text.size(), -n));
    tokens.resize(static_cast<std::size_t>(n));
    return tokens;
}

std::string Tokenizer::piece(std::int32_t token, bool show_special) const {
    std::string text(64, '\0');
    for (;;) {
        const std::int32_t n =
            llama_token_to_piece(vocab(), token, text.data(), static_cast<std::int32_t>(text.size()), 0, show_special);
        if (n >= 0) {
            text.resize(static_cast<std::size_t>(n));
            return text;
        }
        text.resize(static_cast<std::size_t>(-n));
    }
}

bool Tokenizer::ends_generation(std::int32_t token) const {
    return llama_vocab_is_eog(vocab(), token);
}
bool Tokenizer::adds_bos() const {
    return llama_vocab_get_add_bos(vocab());
}
std::int32_t Tokenizer::bos() const {
    return llama_vocab_bos(vocab());
}
std::int32_t Tokenizer::size() const {
    return llama_vocab_n_tokens(vocab());
}

std::string Tokenizer::apply_chat_template(std::span<const ChatMessage> messages, bool open_answer) const {
    if (chat_template_.empty())
        throw Error(ErrorKind::kUsage, "chat: the model carries no chat template (tokenizer.chat_template)");
    std::vector<llama_chat_message> chat;
    for (const ChatMessage& message : messages) chat.push_back({message.role.c_str(), message.content.c_str()});
    std::string text;
    for (std::size_t size = 4096;; size = text.size() + 1) {
        text.resize(size);
        const std::int32_t n = llama_chat_apply_template(chat_template_.c_str(), chat.data(), chat.size(), open_answer,
                                                         text.data(), static_cast<std::int32_t>(text.size()));
        if (n < 0)
            throw Error(ErrorKind::kUsage,
                        "chat: libllama does not know this model's chat template; "
                        "give the prompt as plain text");
        const bool complete = static_cast<std::size_t>(n) < text.size();
        text.resize(static_cast<std::size_t>(n));
        if (complete) return text;
    }
}

std::optional<std::int32_t> first_difference(const Tokenizer& a, const Tokenizer& b) {
    std::int32_t first = 0;
    while (first < std::min(a.size(), b.size()) && a.piece(first, true) == b.piece(first, true)) ++first;
    if (first < std::max(a.size(), b.size())) return first;
    return std::nullopt;
}

}  // namespace plasticity
