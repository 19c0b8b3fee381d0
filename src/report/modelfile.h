#pragma once

#include <optional>
#include <string>

#include "report/run_record.h"

namespace plasticity {

/// Modelfile for `ollama create`, beside model.gguf: the context that the recipe budgets for, and the tokens that end a
/// turn. No TEMPLATE: Ollama takes the chat template from the GGUF itself, and a translation by hand could differ.
/// Every line is made of this program's words and numbers, but for tokens that are plain visible ASCII without quotes:
/// a stranger's text must not add an instruction of its own.
/// @returns nothing where stock llama.cpp, which Ollama stands on, does not run the file
std::optional<std::string> ollama_modelfile(const RunRecord& record);

}  // namespace plasticity
