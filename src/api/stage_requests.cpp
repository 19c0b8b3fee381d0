#include "api/stage_requests.h"

#include "api/option_reader.h"
#include "core/error.h"
#include "io/partial_file.h"

namespace plasticity {
namespace {

constexpr std::int64_t kMostThreads = 1024;

Overwrite read_force(OptionReader& reader) {
    bool force = false;
    reader.read("force", force);
    return force ? Overwrite::kReplace : Overwrite::kRefuse;
}

void read_threads(OptionReader& reader, int& threads) {
    reader.read("threads", threads, 0, kMostThreads);
}

void read_backend(OptionReader& reader, BackendChoice& backend) {
    reader.read("backend", backend.device);
    if (reader.has("gpu-layers")) reader.read("gpu-layers", backend.gpu_layers.emplace(0), 0);
}

/// Any of these options asks for training, as on the command line.
std::optional<FineTuneOptions> read_fine_tune(OptionReader& reader) {
    bool asked = false;
    for (const char* key : {"epochs", "rank", "alpha", "lora-targets", "lr", "warmup", "weight-decay", "dropout",
                            "batch", "holdout-every", "shuffle"})
        asked = reader.has(key) || asked;
    FineTuneOptions options;
    reader.read("epochs", options.epochs, 0);
    reader.read("rank", options.rank, 1);
    reader.read("alpha", options.alpha);
    reader.read("lora-targets", options.targets);
    reader.read("lr", options.learning_rate);
    reader.read("warmup", options.warmup);
    reader.read("weight-decay", options.weight_decay);
    reader.read("dropout", options.dropout);
    reader.read("batch", options.batch, 1);
    reader.read("holdout-every", options.holdout_every, 0);
    reader.read("shuffle", options.shuffle);
    return asked ? std::optional(options) : std::nullopt;
}

void read_trials(OptionReader& reader, TrialRequest& trials) {
    reader.read("data", trials.data);
    reader.read("calibrate", trials.calibrate);
    reader.read("refine", trials.refine_minutes);
    reader.read("refine-trials", trials.refine_trials, 0);
    reader.read("calibration-tokens", trials.tokens, 0);
    reader.read("resume", trials.resume);
}

/// What the plan is to keep to.
void read_budget(OptionReader& reader, PlanOptions& options) {
    reader.read("device", options.device);
    if (reader.has("target-size")) reader.read_bytes("target-size", options.target_bytes.emplace());
    reader.read("target-bpw", options.target_bits_per_weight);
    const int n_budgets = int{options.device.has_value()} + int{options.target_bytes.has_value()} +
                          int{options.target_bits_per_weight.has_value()};
    if (n_budgets != 1) reader.fail("device", "exactly one of device, target-size and target-bpw");
    reader.read("context", options.context_length, 0);
    reader.read("kv-type", options.kv_type);
}

void read_sampler(OptionReader& reader, SamplerOptions& sampler) {
    reader.read("temp", sampler.temperature);
    reader.read("top-k", sampler.top_k, 0);
    reader.read("top-p", sampler.top_p);
    reader.read("min-p", sampler.min_p);
    reader.read("repeat-penalty", sampler.repeat_penalty);
    reader.read("repeat-last-n", sampler.repeat_last_n, -1, 1 << 20);
    reader.read("frequency-penalty", sampler.frequency_penalty);
    reader.read("presence-penalty", sampler.presence_penalty);
    reader.read("grammar", sampler.grammar);
    reader.read("seed", sampler.seed, 0);
}

}  // namespace

ScoreRequest read_score_request(std::string_view json) {
    OptionReader reader(json, "score");
    ScoreRequest request;
    ScoreOptions& options = request.options;
    reader.require("model", options.model);
    reader.read("data", options.data);
    if (options.data.empty()) reader.fail("data", "a path, or a list of paths");
    reader.require("output", request.output);
    reader.read("stats", options.statistics);
    reader.read("curvature-every", options.curvature_every, 0);
    reader.read("gram", options.gram);
    reader.read("gram-tokens", options.gram_tokens, 0);
    reader.read("slice", options.slice);
    reader.read("tokens", options.max_tokens, 0);
    reader.read("chunk", options.chunk, 1);
    reader.read("resume", options.resume);
    reader.read("checkpoint-every", options.checkpoint_every, 0);
    reader.read_bytes("memory", options.memory_bytes);
    reader.read("precision", options.precision);
    read_backend(reader, options.backend);
    options.fine_tune = read_fine_tune(reader);
    reader.read("adapter", options.adapter);
    reader.read("save-adapter", options.save_adapter);
    std::uint32_t seed = 0;
    reader.read("seed", seed, 0);
    options.seed = seed;
    read_threads(reader, options.threads);
    request.overwrite = read_force(reader);
    options.overwrite = request.overwrite == Overwrite::kReplace;
    options.spill_folder = folder_of(request.output);
    if (options.checkpoint_every > 0) options.checkpoint = request.output.string() + ".checkpoint";
    reader.finish();
    return request;
}

PlanRequest read_plan_request(std::string_view json) {
    OptionReader reader(json, "plan");
    PlanRequest request;
    PlanOptions& options = request.options;
    reader.require("model", options.model);
    reader.require("scores", options.scores);
    reader.read("stats", options.statistics);
    reader.read("gram", options.gram);
    reader.read_bytes("gram-memory", options.gram_memory_bytes);
    reader.read("damages", options.damages);
    reader.read("output", request.output);
    read_budget(reader, options);
    reader.read("policy", options.policy);
    std::string prune = "auto";
    reader.read("prune", prune);
    options.prune = parse_prune(prune);
    reader.read("align", options.align);
    reader.read("equalize", options.equalize);
    bool allow_own = false;
    reader.read("allow-own", allow_own);
    options.require_stock = !allow_own;
    reader.read("floor", options.floor_type);
    std::vector<std::string> tensor_types;
    reader.read("tensor-type", tensor_types);
    for (const std::string& text : tensor_types) options.tensor_types.push_back(parse_tensor_type(text));
    read_trials(reader, options.trials);
    read_threads(reader, options.threads);
    request.overwrite = read_force(reader);
    if (options.trials.refines() && !request.output.empty())
        options.trials.checkpoint = request.output.string() + ".checkpoint";
    reader.finish();
    return request;
}

CompressRequest read_compress_request(std::string_view json) {
    OptionReader reader(json, "compress");
    CompressRequest request;
    CompressOptions& options = request.options;
    reader.require("model", options.model);
    reader.require("recipe", request.recipe);
    reader.require("output", options.output);
    reader.read("stats", options.statistics);
    reader.read("adapter", options.adapter);
    reader.read("gram", options.gram);
    reader.read_bytes("gram-memory", options.gram_memory_bytes);
    reader.read("dry-run", options.dry_run);
    bool without_tokenizer = false;
    reader.read("no-tokenizer", without_tokenizer);
    options.with_tokenizer = !without_tokenizer;
    read_threads(reader, options.threads);
    options.overwrite = read_force(reader) == Overwrite::kReplace;
    reader.finish();
    return request;
}

VerifyRequest read_verify_request(std::string_view json) {
    OptionReader reader(json, "verify");
    VerifyRequest request;
    VerifyOptions& options = request.options;
    reader.require("model", options.model);
    reader.read("base", options.base);
    reader.read("base-adapter", options.base_adapter);
    reader.read("data", options.data);
    if (options.base_adapter && !options.base) reader.fail("base", "the model that base-adapter is merged into");
    reader.read("device", options.device);
    reader.read("thresholds", options.thresholds);
    reader.read("tasks", options.tasks);
    reader.read("stock", options.stock);
    reader.read("context", options.context, 1);
    reader.read("chunks", options.chunks, 0);
    reader.read("output", request.output);
    read_backend(reader, options.backend);
    read_threads(reader, options.threads);
    request.overwrite = read_force(reader);
    reader.finish();
    return request;
}

InferOptions read_infer_request(std::string_view json) {
    OptionReader reader(json, "infer");
    InferOptions options;
    reader.require("model", options.model);
    if (!reader.has("prompt")) reader.fail("prompt", "a text");
    reader.read("prompt", options.prompt);
    reader.read("predict", options.max_tokens, -1, 1 << 30);
    reader.read("stop", options.stop);
    reader.read("chat", options.use_chat_template);
    reader.read("system", options.system);
    reader.read("logprobs", options.top_probabilities, 0, 100);
    reader.read("ctx-size", options.cache.context_length, 0);
    reader.read("kv-type", options.cache.kv_type);
    reader.read("repack", options.cache.repack);
    reader.read("lora", options.lora);
    reader.read("draft", options.draft.model);
    reader.read("draft-max", options.draft.most, 1, 64);
    read_sampler(reader, options.sampler);
    read_backend(reader, options.backend);
    read_threads(reader, options.threads);
    reader.finish();
    return options;
}

}  // namespace plasticity
