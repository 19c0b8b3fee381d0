#!/usr/bin/env python3
"""What each type costs the outputs of matrices on text not calibrated on: ggml's rounding, own, and own with error feedback.

Two parts. The layers: the mean over matrices of e H eᵀ / w H wᵀ, e the rounding errors of some rows and H the Gram matrix
of what they read in the held-out text. The model: KL divergence with all matrices of one type (the embedding as Q8_0), with
and without error feedback.
"""

import json
from pathlib import Path

from workbench import ROOT, Workbench, parser_for, remove, say


def of_layers(bench, base, stats, gram):
    other = bench.work / "heldout.gram.gguf"
    bench.plasticity("score", base, "--data", bench.heldout, "--tokens", 512, "--gram", other, "--gram-tokens",
                     bench.options.gram_tokens, "-o", bench.work / "heldout.json", "--force")
    run = bench.run([bench.options.output_error, base, stats, gram, other, bench.options.rows])
    remove(other)
    return json.loads(run.stdout)


def of_model(bench, base, scored, kind):
    gradients, stats, gram = scored
    recipe, file = bench.work / "recipe.json", bench.work / "file.gguf"
    bench.plasticity("plan", base, "--scores", gradients, "--policy", "tiers", "--prune", "off", "--target-size", "100GB",
                     "--tensor-type", "token_embd=Q8_0", "--tensor-type", f"blk={kind}", "-o", recipe, "--force")
    figures = {}
    for label, more in (("own", []), ("feedback", ["--gram", gram])):
        bench.plasticity("compress", base, "--recipe", recipe, "--stats", stats, *more, "-o", file)
        figures[label] = bench.evaluate(file, base)
        remove(file)
    return figures


def measure(bench, name):
    base = bench.base(name)
    gram = bench.gram(base)
    gradients, stats, _ = bench.score(base, gram)
    figures = {"layers": of_layers(bench, base, stats, gram),
               "model": {kind: of_model(bench, base, (gradients, stats, gram), kind) for kind in bench.options.types}}
    say(f"{name}: {json.dumps(figures)}")
    return figures


def main():
    parser = parser_for(__doc__)
    parser.set_defaults(models=["qwen2.5-coder-0.5b"])
    parser.add_argument("--output-error", type=Path,
                        default=ROOT / "build" / "release" / "bench" / "output_error",
                        help="made by: cmake --build --preset release --target output_error")
    parser.add_argument("--rows", type=int, default=32, help="of each matrix that are quantised")
    parser.add_argument("--types", nargs="*", default=["Q4_0", "IQ4_NL", "Q5_0"], help="for the whole model")
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("output_error", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
