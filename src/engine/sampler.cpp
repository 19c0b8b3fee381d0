#include "engine/sampler.h"

#include <llama.h>

namespace plasticity {

void Sampler::ChainDeleter::operator()(llama_sampler* chain) const noexcept {
    llama_sampler_free(chain);
}

Sampler::Sampler(const SamplerOptions& options)
    : chain_(llama_sampler_chain_init(llama_sampler_chain_default_params())) {
    const auto add = [&](llama_sampler* sampler) { llama_sampler_chain_add(chain_.get(), sampler); };
    if (options.temperature <= 0.0f) {
        add(llama_sampler_init_greedy());
        return;
    }
    if (options.top_k > 0) add(llama_sampler_init_top_k(options.top_k));
    if (options.top_p < 1.0f) add(llama_sampler_init_top_p(options.top_p, 1));
    if (options.min_p > 0.0f) add(llama_sampler_init_min_p(options.min_p, 1));
    add(llama_sampler_init_temp(options.temperature));
    add(llama_sampler_init_dist(options.seed));
}

Sampler::~Sampler() = default;

std::int32_t Sampler::choose(std::span<const float> logits) {
    std::vector<llama_token_data> candidates(logits.size());
    for (std::size_t id = 0; id < logits.size(); ++id)
        candidates[id] = {static_cast<llama_token>(id), logits[id], 0.0f};
    llama_token_data_array array{candidates.data(), candidates.size(), -1, false};
    llama_sampler_apply(chain_.get(), &array);
    const llama_token token = array.data[array.selected].id;
    llama_sampler_accept(chain_.get(), token);
    return token;
}

}  // namespace plasticity
