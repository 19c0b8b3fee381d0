#pragma once

// What the tests on real models share. They fail, and say why, where scripts/fetch_model has not been run.

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/progress.h"
#include "engine/decoder.h"
#include "engine/evaluate.h"
#include "engine/tokenizer.h"
#include "io/corpus.h"
#include "model/model.h"
#include "support/subprocess.h"

namespace plasticity::test {

inline Progress& quiet() {
    static const std::unique_ptr<Progress> progress = make_progress(ProgressStyle::kQuiet);
    return *progress;
}

/// SmolLM2-135M (llama, 30 layers of 9 query heads on 3 KV groups).
inline std::filesystem::path smollm2() {
    const std::filesystem::path path =
        std::filesystem::path(require_environment("PLASTICITY_TEST_MODELS")) / "smollm2.gguf";
    if (!std::filesystem::exists(path))
        throw std::runtime_error(path.string() + " is missing; run scripts/fetch_model, or make test");
    return path;
}

/// Something of this project's own sources. Nothing is tuned on it.
inline std::filesystem::path source(const std::string& path) {
    return std::filesystem::path(require_environment("PLASTICITY_TEST_SOURCES")) / path;
}

/// Chunks of 512 tokens of the sources in src/core.
inline EvaluationText source_text(const Model& model, std::int32_t n_chunks) {
    const std::vector<std::filesystem::path> files{source("src/core")};
    return prepare_evaluation(Tokenizer(model.tokenizer()), read_plain_text(files), 512, n_chunks);
}

inline double own_perplexity(const Model& model, const EvaluationText& text,
                             WeightPrecision precision = WeightPrecision::kStored) {
    Decoder decoder(model, {.context_length = text.context, .precision = precision}, quiet());
    return perplexity(decoder, text, quiet()).value;
}

}  // namespace plasticity::test
