#include "score/fine_tune.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/counter_random.h"
#include "core/error.h"

namespace plasticity {
namespace {

void require(bool holds, const std::string& got, std::string_view expected) {
    if (!holds) throw Error(ErrorKind::kUsage, fmt::format("score: {}; expected {}", got, expected));
}

std::int64_t steps_of(const FineTuneOptions& options, std::size_t n_per_epoch) {
    const auto batch = static_cast<std::size_t>(options.batch);
    return std::int64_t{options.epochs} * static_cast<std::int64_t>((n_per_epoch + batch - 1) / batch);
}

FineTuneRecord record_of(const FineTuneOptions& options, const LoraAdapter& adapter, std::uint64_t seed) {
    FineTuneRecord record{.rank = adapter.rank,
                          .alpha = adapter.alpha,
                          .targets = {},
                          .epochs = options.epochs,
                          .batch = options.batch,
                          .learning_rate = options.learning_rate,
                          .warmup = options.warmup,
                          .weight_decay = options.weight_decay,
                          .dropout = options.dropout,
                          .shuffle = options.shuffle,
                          .holdout_every = options.holdout_every,
                          .seed = seed,
                          .training_losses = {},
                          .held_out_losses = {}};
    for (const TensorRole role : adapter.targets()) record.targets.push_back(lora_module_name(role));
    return record;
}

/// Calls `visit(name, values)` for everything of F32 that training changes.
template <typename Visit>
void for_each_array(LoraAdapter& adapter, AdamW::State& moments, const Visit& visit) {
    for (std::size_t i = 0; i < adapter.matrices.size(); ++i) {
        LoraMatrix& matrix = adapter.matrices[i];
        const std::string name = gguf_name(matrix.id);
        visit(name + ".a", matrix.a);
        visit(name + ".b", matrix.b);
        visit(name + ".a_first", moments.first[2 * i]);
        visit(name + ".b_first", moments.first[2 * i + 1]);
        visit(name + ".a_second", moments.second[2 * i]);
        visit(name + ".b_second", moments.second[2 * i + 1]);
    }
}

/// A and B of every matrix, one after the other.
std::vector<std::size_t> array_sizes(const LoraAdapter& adapter) {
    std::vector<std::size_t> sizes;
    for (const LoraMatrix& matrix : adapter.matrices) sizes.insert(sizes.end(), {matrix.a.size(), matrix.b.size()});
    return sizes;
}

std::vector<TrainedArray> arrays_of(LoraAdapter& adapter, std::span<const LoraGradient> gradients) {
    std::vector<TrainedArray> arrays;
    for (std::size_t i = 0; i < adapter.matrices.size(); ++i) {
        arrays.push_back({adapter.matrices[i].a, gradients[i].a});
        arrays.push_back({adapter.matrices[i].b, gradients[i].b});
    }
    return arrays;
}

constexpr const char* kSteps = "steps";
constexpr const char* kTraining = "training_losses";
constexpr const char* kHeldOut = "held_out_losses";

}  // namespace

std::uint64_t seed_of(RandomUse use, std::uint64_t seed) {
    return bits_at(seed ^ 0x6c6f7261u, static_cast<std::uint64_t>(use));  // "lora": apart from the labels' draws
}

void require_sound(const FineTuneOptions& o) {
    require(o.epochs >= 0, fmt::format("--epochs {}", o.epochs), "0 or more");
    require(o.rank >= 1 && o.rank <= kMaxLoraRank, fmt::format("--rank {}", o.rank),
            fmt::format("1 to {}", kMaxLoraRank));
    require(o.alpha > 0 && std::isfinite(o.alpha), fmt::format("--alpha {}", o.alpha), "a number above 0");
    require(o.learning_rate > 0 && std::isfinite(o.learning_rate), fmt::format("--lr {}", o.learning_rate),
            "a number above 0");
    require(o.warmup >= 0 && o.warmup <= 1, fmt::format("--warmup {}", o.warmup), "a share of the steps, 0 to 1");
    require(o.weight_decay >= 0 && std::isfinite(o.weight_decay), fmt::format("--weight-decay {}", o.weight_decay),
            "0 or more");
    require(o.dropout >= 0 && o.dropout < 1, fmt::format("--dropout {}", o.dropout), "0 to below 1");
    require(o.batch >= 1, fmt::format("--batch {}", o.batch), "1 or more");
    require(o.holdout_every >= 0, fmt::format("--holdout-every {}", o.holdout_every), "0 or more");
    parse_lora_targets(o.targets);
}

FineTune::FineTune(Backpropagation& engine, LoraAdapter& adapter, const FineTunePlan& plan, const Team& team)
    : engine_(engine),
      adapter_(adapter),
      options_(plan.options),
      dropout_seed_(seed_of(RandomUse::kDropout, plan.seed)),
      n_per_epoch_(plan.n_per_epoch),
      team_(team),
      schedule_(cosine_schedule(options_.learning_rate, options_.warmup, steps_of(options_, plan.n_per_epoch))),
      optimizer_(array_sizes(adapter), {.weight_decay = options_.weight_decay}),
      gradients_(zero_gradients(adapter)),
      record_(record_of(options_, adapter, plan.seed)) {}

/// The last batch of an epoch is what is left of it.
std::size_t FineTune::size_of_batch(std::size_t visit) const {
    const auto batch = static_cast<std::size_t>(options_.batch);
    const std::size_t within = visit % n_per_epoch_, first = within / batch * batch;
    return std::min(batch, n_per_epoch_ - first);
}

std::size_t FineTune::end_of_batch(std::size_t visit) const {
    const std::size_t place = visit % n_per_epoch_ % static_cast<std::size_t>(options_.batch);
    return visit - place + size_of_batch(visit);
}

LoraDropout FineTune::dropout_of(std::size_t visit) const {
    return {.probability = static_cast<float>(options_.dropout), .seed = bits_at(dropout_seed_, visit)};
}

std::vector<ExampleGradients> FineTune::sweep(std::span<const Visit> visits, std::size_t first,
                                              const SweepObservers& observers) {
    const LoraTraining training{.gradients = gradients_, .weight = weight_of(first)};
    return engine_.sweep(visits, observers, &training);
}

bool FineTune::step_if_due(std::size_t visit, double loss) {
    batch_loss_ += weight_of(visit) * loss;
    if (visit + 1 != end_of_batch(visit)) return false;
    team_.add_up(gradients_);
    optimizer_.step(arrays_of(adapter_, gradients_), learning_rate());
    record_.training_losses.push_back(std::exchange(batch_loss_, 0.0));
    for (LoraGradient& gradient : gradients_) {
        std::ranges::fill(gradient.a, 0.0f);
        std::ranges::fill(gradient.b, 0.0f);
    }
    return true;
}

double FineTune::measure(const std::vector<const Example*>& held_out) {
    const auto rank = static_cast<std::size_t>(team_.rank()), size = static_cast<std::size_t>(team_.size());
    std::vector<Visit> mine;
    for (std::size_t i = rank; i < held_out.size(); i += size) mine.push_back({.example = held_out[i]});
    const auto n_tokens_at = [&](std::size_t place) { return std::ssize(mine[place].example->tokens); };
    std::vector<double> losses;
    for (std::size_t first = 0, end = 0; first < mine.size(); first = end) {
        end = team_.end_of_group(first, mine.size(), n_tokens_at);
        const std::vector<double> group = engine_.losses(std::span(mine).subspan(first, end - first));
        losses.insert(losses.end(), group.begin(), group.end());
    }
    const std::vector<std::vector<double>> all = team_.share(losses);
    double sum = 0;
    for (std::size_t i = 0; i < held_out.size(); ++i) sum += all[i % size][i / size];
    const double loss = sum / static_cast<double>(held_out.size());
    record_.held_out_losses.push_back({.step = optimizer_.state().n_steps, .loss = loss});
    return loss;
}

FineTune::State FineTune::state() const {
    State state;
    LoraAdapter adapter = adapter_;
    AdamW::State moments = optimizer_.state();
    for_each_array(adapter, moments, [&](const std::string& name, const std::vector<float>& values) {
        state[name].assign(values.begin(), values.end());
    });
    state[kSteps] = {static_cast<double>(moments.n_steps)};
    state[kTraining] = record_.training_losses;
    for (const auto& [step, loss] : record_.held_out_losses)
        state[kHeldOut].insert(state[kHeldOut].end(), {static_cast<double>(step), loss});
    return state;
}

bool FineTune::restore(const State& state) {
    LoraAdapter adapter = adapter_;
    AdamW::State moments = optimizer_.state();
    bool is_whole = true;
    for_each_array(adapter, moments, [&](const std::string& name, std::vector<float>& values) {
        const auto found = state.find(name);
        is_whole = is_whole && found != state.end() && found->second.size() == values.size();
        if (is_whole)
            std::ranges::transform(found->second, values.begin(), [](double x) { return static_cast<float>(x); });
    });
    const auto steps = state.find(kSteps), training = state.find(kTraining), held_out = state.find(kHeldOut);
    if (!is_whole || steps == state.end() || training == state.end() || steps->second.size() != 1) return false;

    moments.n_steps = static_cast<std::int64_t>(steps->second.front());
    adapter_ = std::move(adapter);
    optimizer_.state() = std::move(moments);
    record_.training_losses = training->second;
    record_.held_out_losses.clear();
    if (held_out != state.end())
        for (std::size_t i = 0; i + 1 < held_out->second.size(); i += 2)
            record_.held_out_losses.push_back(
                {.step = static_cast<std::int64_t>(held_out->second[i]), .loss = held_out->second[i + 1]});
    return true;
}

}  // namespace plasticity
