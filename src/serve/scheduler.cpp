#include "serve/scheduler.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/clock.h"

namespace plasticity {
namespace {

/// Tokens of prompts in one step: as many as feed takes at once where nobody waits for their next token, else so few
/// that tokens keep coming.
constexpr std::size_t kPromptTokensAlone = 512;
constexpr std::size_t kPromptTokensBeside = 64;

constexpr const char* kEnding = "the server is shutting down";

}  // namespace

Scheduler::Scheduler(Decoder& decoder, const Tokenizer& tokenizer, const SchedulerOptions& options, Metrics& metrics)
    : decoder_(decoder), options_(options), metrics_(metrics) {
    for (std::size_t i = 0; i < options.slots; ++i)
        slots_.emplace_back(static_cast<std::int32_t>(i), decoder, tokenizer, metrics);
    gauges_.slots = options.slots;
    thread_ = std::thread([this] { run(); });
}

Scheduler::~Scheduler() {
    stop();
}

std::shared_ptr<Reply> Scheduler::submit(std::vector<TextJob> jobs) {
    auto reply = std::make_shared<Reply>(jobs.size());
    {
        const std::lock_guard lock(mutex_);
        // A request that finds nobody waiting is taken whole, however many texts it has.
        const bool has_room = queue_.empty() || queue_.size() + jobs.size() <= options_.queued;
        if (stopping_ || !has_room) return nullptr;
        for (std::size_t i = 0; i < jobs.size(); ++i) queue_.push_back({std::move(jobs[i]), reply, i, Clock::now()});
        gauges_.queued = queue_.size();
    }
    wake_.notify_one();
    return reply;
}

void Scheduler::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
}

Metrics::Gauges Scheduler::gauges() const {
    const std::lock_guard lock(mutex_);
    return gauges_;
}

void Scheduler::run() {
    while (wait_for_work()) {
        try {
            admit();
            publish();
            step();
        } catch (const std::exception& problem) {
            // Which text it was cannot be told; none of those in work can go on with a cache in an unknown state.
            fail_all(problem.what());
        }
        publish();
    }
    fail_all(kEnding);
    const std::lock_guard lock(mutex_);
    for (const QueuedJob& queued : queue_) queued.reply->put({.text_index = queued.text_index, .failure = kEnding});
    queue_.clear();
}

bool Scheduler::wait_for_work() {
    const bool working = std::ranges::any_of(slots_, &Slot::busy);
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return working || stopping_ || !queue_.empty(); });
    return !stopping_;
}

void Scheduler::admit() {
    for (Slot& slot : slots_)
        if (slot.cancelled()) {
            metrics_.count_cancelled();
            slot.drop();
        }
    {
        const std::lock_guard lock(mutex_);
        const auto left = std::erase_if(queue_, [](const QueuedJob& queued) { return queued.reply->cancelled(); });
        for (std::size_t i = 0; i < left; ++i) metrics_.count_cancelled();
    }
    while (!std::ranges::all_of(slots_, &Slot::busy)) {
        std::optional<QueuedJob> queued = next_in_queue();
        if (!queued) return;
        slot_for(queued->job).begin(std::move(*queued), options_.reuse_prompts);
    }
}

std::optional<QueuedJob> Scheduler::next_in_queue() {
    const std::lock_guard lock(mutex_);
    if (queue_.empty()) return std::nullopt;
    QueuedJob first = std::move(queue_.front());
    queue_.pop_front();
    return first;
}

/// The free slot that knows most of the prompt; where none knows any of it, the one that was not taken for longest.
Slot& Scheduler::slot_for(const TextJob& job) {
    Slot* best = nullptr;
    std::size_t most = 0;
    for (Slot& slot : slots_) {
        if (slot.busy()) continue;
        const std::size_t known = options_.reuse_prompts ? slot.known_tokens(job.prompt) : 0;
        if (known > most) best = &slot, most = known;
    }
    if (best != nullptr) return *best;
    while (slots_[next_victim_ % slots_.size()].busy()) ++next_victim_;
    return slots_[next_victim_++ % slots_.size()];
}

std::vector<Slot*> Scheduler::busy_slots() {
    std::vector<Slot*> busy;
    for (Slot& slot : slots_)
        if (slot.busy()) busy.push_back(&slot);
    return busy;
}

void Scheduler::step() {
    std::vector<Slot*> slots;
    std::vector<SequenceTokens> items;
    const std::vector<Slot*> busy = busy_slots();
    const bool others = std::ranges::any_of(busy, &Slot::generating);
    std::size_t budget = others ? kPromptTokensBeside : kPromptTokensAlone, n_tokens = 0;
    for (Slot* slot : busy) {
        const SequenceTokens item = slot->next_tokens(budget);
        if (item.tokens.empty()) continue;
        if (!slot->generating()) budget -= item.tokens.size();
        n_tokens += item.tokens.size();
        slots.push_back(slot);
        items.push_back(item);
    }
    if (items.empty()) return;
    const auto start = Clock::now();
    decoder_.step(items, [&](std::size_t i, std::size_t token, std::span<const float> logits) {
        slots[i]->took_logits(items[i], token, logits);
    });
    metrics_.count_step(n_tokens, seconds_since(start));
    for (std::size_t i = 0; i < items.size(); ++i) slots[i]->took(items[i]);
}

void Scheduler::fail_all(const std::string& message) {
    for (Slot& slot : slots_) {
        if (!slot.busy()) continue;
        slot.fail(message);
        slot.reset();
    }
}

void Scheduler::publish() {
    Metrics::Gauges now{.slots = slots_.size()};
    for (const Slot& slot : slots_) {
        now.busy_slots += slot.busy() ? 1 : 0;
        now.cached_tokens += slot.cached_tokens();
    }
    const std::lock_guard lock(mutex_);
    now.queued = queue_.size();
    gauges_ = now;
}

}  // namespace plasticity
