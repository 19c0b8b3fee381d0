#include "score/scoring_pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "score/accumulate.h"

namespace plasticity {
namespace {

class Pass {
public:
    Pass(const ScoringPass& pass, Progress& progress)
        : pass_(pass), progress_(progress), done_(static_cast<std::size_t>(pass.gradients.num_steps)) {
        for (const std::size_t index : pass.order.held_out) held_out_.push_back(&pass.set.examples[index]);
        for (const Example* example : held_out_) held_out_tokens_ += example->tokens.size();
        saved_ = done_;
        for (const std::vector<double>& layer : pass.gradients.absolute_sums) n_heads_.push_back(layer.size());
    }

    void run() {
        progress_.begin(pass_.training != nullptr ? "fine-tune" : "score", tokens_ahead(), "tokens");
        if (done_ == 0) measure("before training");
        while (done_ < pass_.order.visits.size()) score_groups();
        progress_.end();
    }

private:
    const Example& example_at(std::size_t visit) const { return pass_.set.examples[pass_.order.visits[visit]]; }

    std::uint64_t tokens_ahead() const {
        std::uint64_t n = 0;
        for (std::size_t visit = done_; visit < pass_.order.visits.size(); ++visit)
            n += example_at(visit).tokens.size();
        if (pass_.training == nullptr) return n;
        const std::size_t epochs_ahead = pass_.order.n_epochs() - done_ / pass_.order.n_per_epoch;
        return n + held_out_tokens_ * (epochs_ahead + (done_ == 0 ? 1 : 0));
    }

    /// Where the next group of every process ends; fewer towards the end of a batch, which a step of the optimiser
    /// follows, or of the examples.
    std::vector<std::size_t> ends_of_groups() const {
        const std::size_t limit =
            pass_.training != nullptr ? pass_.training->end_of_batch(done_) : pass_.order.visits.size();
        const auto n_tokens_at = [&](std::size_t visit) { return std::ssize(example_at(visit).tokens); };
        std::vector<std::size_t> ends;
        for (std::size_t first = done_; first < limit && std::cmp_less(ends.size(), pass_.team.size());
             first = ends.back())
            ends.push_back(pass_.team.end_of_group(first, limit, n_tokens_at));
        return ends;
    }

    Visit planned(std::size_t visit) const {
        const Example& example = example_at(visit);
        const bool is_observed = visit >= pass_.order.first_observed;
        Visit planned{.example = &example, .is_observed = is_observed && pass_.observer};
        if (pass_.training != nullptr) planned.dropout = pass_.training->dropout_of(visit);
        if (is_observed && pass_.curvature != nullptr)
            planned.curvature_seed = pass_.curvature->seed_for(example, pass_.order.visits[visit]);
        return planned;
    }

    /// A group of every process.
    void score_groups() {
        const std::vector<std::size_t> ends = ends_of_groups();
        const auto rank = static_cast<std::size_t>(pass_.team.rank());
        const std::size_t end = rank < ends.size() ? ends[rank] : ends.back();
        const std::size_t first = rank == 0 ? done_ : rank < ends.size() ? ends[rank - 1] : end;
        std::uint64_t n_tokens = 0;
        for (std::size_t visit = done_; visit < ends.back(); ++visit) n_tokens += example_at(visit).tokens.size();

        std::uint64_t n_shown = 0;
        const auto show = [&](double share) {  // the last token counts once all is added up
            const auto n = static_cast<std::uint64_t>(share * static_cast<double>(n_tokens - 1));
            progress_.advance(n - n_shown, state_text());
            n_shown = n;
        };
        const std::vector<ExampleGradients> mine = sweep(first, end, show);
        bool is_between_steps = true;
        std::size_t visit = done_;
        for (const std::vector<ExampleGradients>& theirs : pass_.team.share(mine, n_heads_))
            for (const ExampleGradients& result : theirs) {
                is_between_steps = finish(visit, result, first <= visit && visit < end);
                ++visit;
            }
        if (is_between_steps) keep_checkpoint();
        progress_.advance(n_tokens - n_shown, state_text());
    }

    std::vector<ExampleGradients> sweep(std::size_t first, std::size_t end,
                                        const std::function<void(double)>& progressed) {
        std::vector<Visit> visits;
        for (std::size_t visit = first; visit < end; ++visit) visits.push_back(planned(visit));
        if (visits.empty()) return {};
        SweepObservers observers{.activations = pass_.observer, .curvature = {}, .progressed = progressed};
        if (pass_.curvature != nullptr) observers.curvature = pass_.curvature->observer();
        return pass_.training != nullptr ? pass_.training->sweep(visits, first, observers)
                                         : pass_.engine.sweep(visits, observers);
    }

    /// @param is_mine  it went through this process's network
    /// @returns whether no step of an optimiser has begun
    bool finish(std::size_t visit, const ExampleGradients& result, bool is_mine) {
        const Example& example = example_at(visit);
        add_example(pass_.gradients, example, result);
        if (is_mine && visit >= pass_.order.first_observed) pass_.statistics.chunk_count += 1;
        const bool is_between_steps = pass_.training == nullptr || pass_.training->step_if_due(visit, result.loss);
        ++done_;
        if (pass_.order.is_end_of_epoch(visit))
            measure(fmt::format("epoch {} of {}", done_ / pass_.order.n_per_epoch, pass_.order.n_epochs()));
        return is_between_steps;
    }

    void measure(const std::string& when) {
        if (pass_.training == nullptr) return;
        std::string text = when + trained_text();
        if (!held_out_.empty()) {
            text += fmt::format(", held-out loss {:.4f} ({} examples)", pass_.training->measure(held_out_),
                                held_out_.size());
            progress_.advance(held_out_tokens_, state_text());
        }
        progress_.note(text);
    }

    void keep_checkpoint() {
        const auto every = static_cast<std::size_t>(pass_.checkpoint_every);
        if (pass_.checkpoint == nullptr || done_ / every == saved_ / every) return;
        pass_.checkpoint->save(pass_.gradients, pass_.statistics,
                               pass_.training != nullptr ? pass_.training->state() : FineTune::State{});
        saved_ = done_;
    }

    /// Of the epoch that has just ended.
    std::string trained_text() const {
        const auto& losses = pass_.training->record().training_losses;
        if (losses.empty()) return "";
        const std::size_t n_epochs = std::max<std::size_t>(1, done_ / pass_.order.n_per_epoch);
        const std::size_t n = losses.size() / n_epochs;
        double sum = 0;
        for (std::size_t i = losses.size() - n; i < losses.size(); ++i) sum += losses[i];
        return fmt::format(", training loss {:.4f} over {} steps", sum / static_cast<double>(n), n);
    }

    std::string state_text() const {
        if (pass_.training == nullptr) return fmt::format("loss {:.3f}", pass_.gradients.mean_loss);
        const FineTuneRecord& record = pass_.training->record();
        std::string text =
            fmt::format("epoch {}/{}", std::min(done_ / pass_.order.n_per_epoch + 1, pass_.order.n_epochs()),
                        pass_.order.n_epochs());
        if (!record.training_losses.empty()) text += fmt::format(", loss {:.3f}", record.training_losses.back());
        if (!record.held_out_losses.empty())
            text += fmt::format(", held-out {:.3f}", record.held_out_losses.back().loss);
        return text + fmt::format(", lr {:.2g}", pass_.training->learning_rate());
    }

    const ScoringPass& pass_;
    Progress& progress_;
    std::size_t done_;  ///< visits
    std::size_t saved_ = 0;
    std::vector<const Example*> held_out_;
    std::uint64_t held_out_tokens_ = 0;
    std::vector<std::size_t> n_heads_;  ///< [layer]
};

}  // namespace

void run_pass(const ScoringPass& pass, Progress& progress) {
    Pass(pass, progress).run();
}

}  // namespace plasticity
