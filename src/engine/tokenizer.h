#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/gguf_metadata.h"

struct llama_model;  // NOLINT(readability-identifier-naming): libllama's own
struct llama_vocab;  // NOLINT(readability-identifier-naming): likewise

namespace plasticity {

struct ChatMessage {
    std::string role;  ///< "system", "user", "assistant"
    std::string content;
};

/// Text ↔ token ids by libllama's vocabulary, made from GGUF's `tokenizer.*` keys. Thread-safe once made.
class Tokenizer {
public:
    /// @throws Error (kMalformed) with what libllama says
    explicit Tokenizer(const GgufMetadata& tokenizer);
    ~Tokenizer();
    Tokenizer(Tokenizer&&) noexcept;

    /// @param parse_special  control tokens spelt out in the text become their ids (chat prompts), else plain text
    /// @param add_special    BOS (and EOS) where the model's metadata asks for them
    /// @throws Error (kUsage for a text of a GiB, or with a word that would overflow the stack of libllama's splitting)
    std::vector<std::int32_t> encode(std::string_view text, bool add_special, bool parse_special) const;
    /// The bytes of one token; may be a part of a UTF-8 sequence. Control tokens are empty unless asked for.
    std::string piece(std::int32_t token, bool show_special = false) const;

    bool ends_generation(std::int32_t token) const;
    bool adds_bos() const;
    std::int32_t bos() const;  ///< -1: none
    std::int32_t size() const;

    /// The conversation in the model's own template, ending where the assistant's answer begins.
    /// @throws Error (kUsage) when the model has no template or libllama does not know it
    std::string apply_chat_template(std::span<const ChatMessage> messages, bool open_answer = true) const;

    const llama_vocab* vocab() const;

private:
    struct ModelDeleter {
        void operator()(llama_model* model) const noexcept;
    };
    std::unique_ptr<llama_model, ModelDeleter> model_;
    std::string chat_template_;
    bool splits_recursively_;
};

/// The first token that the two do not spell alike, or that one of them lacks; nothing where they have the same tokens.
std::optional<std::int32_t> first_difference(const Tokenizer& a, const Tokenizer& b);

}  // namespace plasticity
