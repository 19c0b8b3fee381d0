#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/gguf_metadata.h"
#include "io/problem_list.h"

namespace plasticity {

/// A token with a part to play, as GGUF and Hugging Face call it.
struct SpecialTokenName {
    std::string_view gguf;  ///< "tokenizer.ggml.<gguf>_token_id"
    std::string_view hf;    ///< "<hf>_token" in tokenizer_config.json
    std::string key() const { return "tokenizer.ggml." + std::string(gguf) + "_token_id"; }
};

/// Every special token that stock llama.cpp reads. Source: llama.cpp, src/llama-arch.cpp ("seperator" is its spelling).
const std::vector<SpecialTokenName>& special_token_names();

/// Lists of equal length, no token twice (stock llama.cpp aborts on that), special ids inside the vocabulary.
/// A file without a tokenizer passes.
void check_tokenizer(const GgufMetadata& metadata, ProblemList& problems);

}  // namespace plasticity
