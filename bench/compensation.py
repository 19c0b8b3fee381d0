#!/usr/bin/env python3
"""What compensation gives back after pruning: divergence and perplexity with and without it, at several shares of heads.

Heads go in the order of their scores; all matrices stay F16, so that pruning alone is measured. The Gram matrices come from
the calibration text, the figures from other files.
"""

import json

from workbench import Workbench, parser_for, remove, say

VARIANTS = ("cut", "compensated")


def plan(bench, base, gradients, share):
    """A recipe without so many heads. @returns its path and how many heads went"""
    recipe = bench.work / "recipe.json"
    bench.plasticity("plan", base, "--scores", gradients, "--policy", "tiers", "--prune", f"heads={share:.6f}",
                     "--tensor-type", ".*=F16", "--target-size", "100GB", "-o", recipe, "--force")
    layers = json.loads(recipe.read_text())["topology"]["layers"]
    return recipe, sum(len(layer["headScores"]) - len(layer["retainedHeadIndices"]) for layer in layers)


def score_with_gram(bench, base, every):
    gradients, gram = bench.work / "scores.json", bench.work / "gram.gguf"
    run = bench.plasticity("score", base, "--data", bench.calibration, "--tokens", bench.options.tokens, "-o", gradients,
                           "--gram", gram, "--curvature-every", every, "--force")
    return gradients, gram, run.seconds


def measure(bench, base, recipe, gram):
    output = bench.work / "pruned.gguf"
    run = bench.plasticity("compress", base, "--recipe", recipe, "-o", output, *(["--gram", gram] if gram else []))
    try:
        return bench.evaluate(output, base) | {"compress_seconds": run.seconds}
    finally:
        remove(output)


def measure_model(bench, name, options):
    base = bench.base(name)
    gradients, gram, seconds = score_with_gram(bench, base, options.curvature_every)
    figures = {"score_seconds": seconds, "gram_bytes": gram.stat().st_size, "shares": []}
    for share in options.shares:
        recipe, removed = plan(bench, base, gradients, share)
        found = {"share": share, "heads_removed": removed}
        for variant in VARIANTS:
            found[variant] = measure(bench, base, recipe, gram if variant == "compensated" else None)
            say(f"{name} {share:.1%} {variant}: {removed} heads gone, {json.dumps(found[variant])}")
        figures["shares"].append(found)
    return figures


def main():
    parser = parser_for(__doc__)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.2, 0.375])
    parser.add_argument("--curvature-every", type=int, default=1, help="examples whose tokens the Gram matrices hold")
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("compensation", {name: measure_model(bench, name, options) for name in options.models})


if __name__ == "__main__":
    main()
