// Compresses a model for the task that a text shows, and lets the result write. Usage: compress MODEL TEXT
#include <plasticity/compress.h>
#include <plasticity/error.h>
#include <plasticity/gate_gradients.h>
#include <plasticity/infer.h>
#include <plasticity/plan.h>
#include <plasticity/progress.h>
#include <plasticity/score.h>

#include <iostream>

int main(int argc, char** argv) try {
    using namespace plasticity;
    if (argc != 3) return 2;
    const std::filesystem::path model = argv[1], text = argv[2];
    const auto progress = make_progress(ProgressStyle::kAuto);

    const GateGradients scores = score({.model = model, .data = {text}, .max_tokens = 256}, *progress);
    save_gate_gradients(scores, "scores.json", Overwrite::kRefuse);
    std::cerr << "mean loss " << scores.mean_loss << " nats per token\n";

    const PlanOptions wishes{.model = model, .scores = "scores.json", .target_bits_per_weight = 5};
    plan_to_file(wishes, "recipe.json", Overwrite::kRefuse, *progress);
    compress({.model = model, .output = "small.gguf"}, std::filesystem::path("recipe.json"), *progress);

    const InferOptions question{
        .model = "small.gguf", .prompt = "def add(a, b):", .max_tokens = 16, .sampler = {.temperature = 0}};
    infer(question, [](std::string_view piece) { std::cout << piece << std::flush; }, *progress);
} catch (const plasticity::Error& error) {
    std::cerr << error.what() << '\n';
    return static_cast<int>(error.kind());
}
