#include "api/stage_requests.h"
#include "fuzz_target.h"

namespace plasticity::fuzz {

/// Options that programs of other languages hand over: the same bytes to each stage.
void run_stage_request(std::span<const std::byte> input) {
    const std::string_view json(reinterpret_cast<const char*>(input.data()), input.size());
    const auto refuses_politely = [](const auto& reader) { accepts({ErrorKind::kUsage}, reader); };
    refuses_politely([&] {
        const ScoreRequest request = read_score_request(json);
        require(!request.output.empty() && !request.options.data.empty(), "required options are there");
    });
    refuses_politely([&] {
        const PlanOptions options = read_plan_request(json).options;
        require(options.device || options.target_bytes || options.target_bits_per_weight, "there is a budget");
    });
    refuses_politely([&] { require(!read_compress_request(json).recipe.empty(), "required options are there"); });
    refuses_politely([&] { read_verify_request(json); });
    refuses_politely([&] {
        const InferOptions options = read_infer_request(json);
        require(options.max_tokens >= -1 && options.threads >= 0, "numbers are within their ranges");
    });
}

}  // namespace plasticity::fuzz
