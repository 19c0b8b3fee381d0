#include "cli/speed_sample.h"

namespace plasticity {
namespace {

constexpr std::int32_t kSpeedTokens = 48;

}  // namespace

InferResult speed_sample(const std::filesystem::path& model, const std::string& prompt, const CommonOptions& common,
                         const BackendChoice& backend, Progress& progress) {
    return infer({.model = model,
                  .prompt = prompt,
                  .max_tokens = kSpeedTokens,
                  .sampler = {.temperature = 0},
                  .threads = common.threads,
                  .backend = backend},
                 {}, progress);
}

}  // namespace plasticity
