#pragma once

#include <string>

#include "report/run_record.h"

namespace plasticity {

/// README.md beside the file, as the Hugging Face hub reads it: front matter in YAML (base_model, its relation,
/// license, language, tags, model-index with what was measured), then what the file is, what it costs, and how to run
/// and to make it again. License, language and base model are what the source's metadata say; what they do not say is
/// left out, and a comment says so.
std::string hub_card(const RunRecord& record);

}  // namespace plasticity
