#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "io/gguf_metadata.h"

namespace plasticity {

/// GGUF's `tokenizer.*` keys from a Hugging Face folder's tokenizer.json, tokenizer_config.json, generation_config.json
/// and chat template, so that stock llama.cpp produces the same ids as HF `tokenizers`.
/// Byte-level BPE with the pre-tokenizers of qwen2, llama 3, gpt-2, smollm and deepseek, and BPE with byte fallback as
/// gemma, llama 2 and mistral have it.
/// @param n_vocab  rows of the embedding; missing ids become unused tokens ("[PAD151665]"), as llama.cpp's converter
/// does
/// @throws Error (kMissing, kMalformed): an unknown pre-tokenizer is refused, never guessed
GgufMetadata read_hf_tokenizer(const std::filesystem::path& folder, std::int32_t n_vocab);

/// The files of a Hugging Face folder, as JSON text, that say the same as GGUF's `tokenizer.*` keys.
struct HfTokenizerFiles {
    std::string tokenizer;          ///< tokenizer.json
    std::string tokenizer_config;   ///< tokenizer_config.json, chat template included
    std::string generation_config;  ///< generation_config.json
};

/// @throws Error (kUsage) for tokenizer models and pre-tokenizers that are not among the known ones
HfTokenizerFiles write_hf_tokenizer(const GgufMetadata& tokenizer);

}  // namespace plasticity
