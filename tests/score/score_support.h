#pragma once

// What the tests of scoring share.

#include <memory>

#include "core/progress.h"
#include "engine/tokenizer.h"
#include "support/corpus_records.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity::test {

inline Progress& quiet() {
    static const std::unique_ptr<Progress> progress = make_progress(ProgressStyle::kQuiet);
    return *progress;
}

}  // namespace plasticity::test
