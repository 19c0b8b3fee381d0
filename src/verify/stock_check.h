#pragma once

#include <filesystem>
#include <string>

#include "engine/decoder.h"
#include "engine/evaluate.h"
#include "verify/findings.h"

namespace plasticity {

/// A stock llama.cpp, by its tools.
struct StockTools {
    std::filesystem::path perplexity;
};

/// @param folder  with llama-perplexity in it, in its `bin` or in its `build/bin`
/// @throws Error (kMissing) saying where was looked
StockTools find_stock_tools(const std::filesystem::path& folder);

/// What the two engines are compared on.
struct StockRun {
    std::filesystem::path model;
    std::string text;                        ///< at least twice as many tokens as a chunk, as the tool demands
    const EvaluationText* tokens = nullptr;  ///< the same, cut; its first chunk counts
    int threads = 1;
    double max_kl = 0;  ///< mean of KL(stock ‖ own) that passes, nats
};

/// Has the tool load the file and compute log probabilities of the text's first chunk, and compares them with the own
/// engine's: adds the figures, and "stock llama.cpp". That the file does not load, or computes something else, is a
/// finding.
/// @throws Error (kIo), Interrupted
void check_stock(const StockTools& tools, const StockRun& run, Decoder& decoder, Findings findings);

}  // namespace plasticity
