#include "report/modelfile.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace plasticity {
namespace {

constexpr std::size_t kMaxStopBytes = 64;

bool is_plain(std::string_view token) {
    return !token.empty() && token.size() <= kMaxStopBytes &&
           std::ranges::all_of(token, [](char c) { return c > ' ' && c <= '~' && c != '"' && c != '\\'; });
}

/// Texts of the tokens that end a text, a turn or a message, each once.
std::vector<std::string> stop_texts(const GgufMetadata& metadata) {
    std::vector<std::string> texts;
    const std::vector<std::string>* tokens = nullptr;
    try {
        tokens = metadata.array<std::string>("tokenizer.ggml.tokens");
    } catch (const Error&) {
        return texts;  // no texts: the file's own reader says what is wrong with it
    }
    if (tokens == nullptr) return texts;
    for (const char* key :
         {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
        const std::int64_t id = metadata.contains(key) ? metadata.integer(key) : -1;
        if (id < 0 || id >= std::ssize(*tokens)) continue;
        const std::string& text = (*tokens)[static_cast<std::size_t>(id)];
        if (is_plain(text) && std::ranges::find(texts, text) == texts.end()) texts.push_back(text);
    }
    return texts;
}

}  // namespace

std::optional<std::string> ollama_modelfile(const RunRecord& record) {
    if (!record.recipe.stock) return std::nullopt;
    std::string lines = "# ollama create NAME -f Modelfile\nFROM ./model.gguf\n";
    if (record.metadata.contains("tokenizer.chat_template"))
        lines += "# The chat template is the one in the GGUF, which Ollama reads.\n";
    else
        lines += "# The model has no chat template: it continues text.\n";
    if (record.recipe.context_length > 0) lines += fmt::format("PARAMETER num_ctx {}\n", record.recipe.context_length);
    for (const std::string& text : stop_texts(record.metadata)) lines += fmt::format("PARAMETER stop \"{}\"\n", text);
    return lines;
}

}  // namespace plasticity
