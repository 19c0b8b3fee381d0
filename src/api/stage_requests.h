#pragma once

#include <filesystem>
#include <string_view>

#include "plasticity/compress.h"
#include "plasticity/infer.h"
#include "plasticity/overwrite.h"
#include "plasticity/plan.h"
#include "plasticity/score.h"
#include "plasticity/verify.h"

namespace plasticity {

// A stage's options with the files around it that the stage itself knows nothing of.

struct ScoreRequest {
    ScoreOptions options;
    std::filesystem::path output;  ///< gate_gradients.json
    Overwrite overwrite = Overwrite::kRefuse;
};

struct PlanRequest {
    PlanOptions options;
    std::filesystem::path output;  ///< recipe.json; empty: none
    Overwrite overwrite = Overwrite::kRefuse;
};

struct CompressRequest {
    CompressOptions options;
    std::filesystem::path recipe;
};

struct VerifyRequest {
    VerifyOptions options;
    std::filesystem::path output;  ///< report.json; empty: none
    Overwrite overwrite = Overwrite::kRefuse;
};

// From a JSON object: OptionReader says how, docs/library.md has the keys. @throws Error (kUsage)

ScoreRequest read_score_request(std::string_view json);
PlanRequest read_plan_request(std::string_view json);
CompressRequest read_compress_request(std::string_view json);
VerifyRequest read_verify_request(std::string_view json);
InferOptions read_infer_request(std::string_view json);

}  // namespace plasticity
