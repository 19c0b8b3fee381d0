// Stock libllama's tokenizer over many texts, for tests/tokenizers/compare.py.
//
//     tokenize_lines FILE.gguf < texts > ids
//     tokenize_lines FILE.gguf --control        the texts of control tokens, each with a zero byte behind it
//
// Texts and ids come as little-endian records, one after the other, without anything between them:
//
//     texts   uint32 bytes | the bytes                 …
//     ids     uint32 count | int32 … of the text with control tokens recognised
//             uint32 count | int32 … of the text with control tokens as plain text   …
//
// Only the vocabulary is loaded; BOS and EOS are not added.

#include <llama.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace {

struct ModelDeleter {
    void operator()(llama_model* model) const noexcept { llama_model_free(model); }
};

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "tokenize_lines: %s\n", what);
    std::exit(1);
}

/// @returns false at the end of the input
bool read_text(std::string& text) {
    std::uint32_t bytes = 0;
    if (std::fread(&bytes, sizeof bytes, 1, stdin) != 1) return false;
    text.resize(bytes);
    if (std::fread(text.data(), 1, bytes, stdin) != bytes) fail("the input ends inside a text");
    return true;
}

void write_ids(const llama_vocab* vocab, const std::string& text, bool parse_special, std::vector<llama_token>& ids) {
    ids.resize(text.size() + 8);  // a token covers at least one byte, but for a space in front of each fragment
    std::int32_t n = llama_tokenize(vocab, text.data(), static_cast<std::int32_t>(text.size()), ids.data(),
                                    static_cast<std::int32_t>(ids.size()), false, parse_special);
    if (n < 0) {
        ids.resize(static_cast<std::size_t>(-n));
        n = llama_tokenize(vocab, text.data(), static_cast<std::int32_t>(text.size()), ids.data(), -n, false,
                           parse_special);
    }
    if (n < 0) fail("llama_tokenize gives no number of tokens");
    const auto count = static_cast<std::uint32_t>(n);
    std::fwrite(&count, sizeof count, 1, stdout);
    std::fwrite(ids.data(), sizeof(llama_token), count, stdout);
}

/// What llama_tokenize passes over when it takes control tokens as plain text.
void list_control_tokens(const llama_vocab* vocab) {
    constexpr unsigned kControl = LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN;
    for (llama_token id = 0; id < llama_vocab_n_tokens(vocab); ++id)
        if ((static_cast<unsigned>(llama_vocab_get_attr(vocab, id)) & kControl) != 0) {
            std::fputs(llama_vocab_get_text(vocab, id), stdout);
            std::fputc(0, stdout);
        }
}

void tokenize_input(const llama_vocab* vocab) {
    std::string text;
    std::vector<llama_token> ids;
    while (read_text(text))
        for (const bool parse_special : {true, false}) write_ids(vocab, text, parse_special, ids);
}

}  // namespace

int main(int argc, char** argv) {
    const bool lists = argc == 3 && std::strcmp(argv[2], "--control") == 0;
    if (argc != 2 && !lists) fail("usage: tokenize_lines FILE.gguf [--control]");
    llama_log_set(
        [](ggml_log_level level, const char* line, void*) {
            if (level == GGML_LOG_LEVEL_ERROR) std::fputs(line, stderr);
        },
        nullptr);
    llama_model_params parameters = llama_model_default_params();
    parameters.vocab_only = true;
    const std::unique_ptr<llama_model, ModelDeleter> model(llama_model_load_from_file(argv[1], parameters));
    if (!model) fail("libllama does not load the file");
    const llama_vocab* vocab = llama_model_get_vocab(model.get());
    if (lists)
        list_control_tokens(vocab);
    else
        tokenize_input(vocab);
    return std::fflush(stdout) == 0 ? 0 : 1;
}
