#!/usr/bin/env python3
"""Does it matter which heads go? Perplexity after pruning by gate gradients, at random, and the best-scored first.

Every variant goes through plan and compress; only the scores that plan reads differ, and all matrices stay F16, so
that pruning alone is measured. The number of query heads left is the same in every variant of a share: asserted.
"""

import json
import random
import statistics

from workbench import Workbench, parser_for, remove, say


def other_scores(gradients, rows):
    """A file as other trainers write it: the scores are all it says."""
    keys = ("num_steps", "model_name", "num_heads", "num_kv_heads")
    return {key: gradients[key] for key in keys} | {"layer_scores": rows}


def random_scores(gradients, generator):
    return other_scores(gradients, [[generator.uniform(0.01, 1) for _ in row] for row in gradients["layer_scores"]])


def reversed_scores(gradients):
    """The order turned round. By ranks, so that nothing is lost to clipping."""
    means = gradients["absolute_sums"]
    best_first = sorted({mean for row in means for mean in row}, reverse=True)
    rank = {mean: (i + 1) / len(best_first) for i, mean in enumerate(best_first)}
    return other_scores(gradients, [[rank[mean] for mean in row] for row in means])


class Pruner:
    """Makes files with a share of their query heads gone, in the order that scores give."""

    def __init__(self, bench, base, total):
        self._bench, self._base, self._total = bench, base, total
        self._scores, self._recipe = bench.work / "scores.json", bench.work / "recipe.json"

    def _plan(self, scores, removed):
        """How many heads plan takes when asked for `removed`."""
        self._scores.write_text(json.dumps(scores))
        self._bench.plasticity("plan", self._base, "--scores", self._scores, "--policy", "tiers",
                               "--prune", f"heads={removed / self._total:.6f}", "--tensor-type", ".*=F16",
                               "--target-size", "100GB", "-o", self._recipe, "--force")
        layers = json.loads(self._recipe.read_text())["topology"]["layers"]
        return self._total - sum(len(layer["retainedHeadIndices"]) for layer in layers)

    def reachable(self, scores, share):
        """Numbers of heads that can go, near the share, and what to ask plan for. Units are of two or three heads."""
        wishes = [share * self._total + step / 2 for step in range(-6, 7)]
        return {self._plan(scores, wish): wish for wish in wishes}

    def perplexity(self, scores, removed, wish, texts=(None,)):
        """On the held-out text, or on each of the texts given."""
        got = self._plan(scores, wish)
        assert got == removed, f"{got} heads go, expected {removed} as in the other variants"
        output = self._bench.work / "pruned.gguf"
        self._bench.plasticity("compress", self._base, "--recipe", self._recipe, "-o", output)
        try:
            return [self._bench.evaluate(output, text=text)["perplexity"] for text in texts]
        finally:
            remove(output)


def draw_random(pruner, gradients, share, removed, seed):
    """Random scores by which exactly so many heads can go; other draws are thrown away."""
    generator = random.Random(seed)
    while True:
        scores = random_scores(gradients, generator)
        wishes = pruner.reachable(scores, share)
        if removed in wishes:
            return scores, wishes[removed]


def measure_share(pruner, gradients, share, seeds):
    total = sum(map(len, gradients["layer_scores"]))
    turned = reversed_scores(gradients)
    by_score, best_first = pruner.reachable(gradients, share), pruner.reachable(turned, share)
    removed = min(by_score.keys() & best_first.keys(), key=lambda n: (abs(n - share * total), n))
    orders = {"by_score": (gradients, by_score[removed]), "best_first": (turned, best_first[removed])}
    for seed in seeds:
        orders[f"random_{seed}"] = draw_random(pruner, gradients, share, removed, seed)
    found = {}
    for name, (scores, wish) in orders.items():
        [found[name]] = pruner.perplexity(scores, removed, wish)
        say(f"{share:.1%} {name}: {removed} of {total} heads gone, perplexity {found[name]:.4f}")
    at_random = [found[f"random_{seed}"] for seed in seeds]
    return {"share": share, "heads": total, "heads_removed": removed, "by_score": found["by_score"],
            "random": at_random, "random_median": statistics.median(at_random), "random_best": min(at_random),
            "best_first": found["best_first"]}


def measure_model(bench, name, shares, seeds):
    base = bench.base(name)
    gradients = json.loads(bench.score(base)[0].read_text())
    dense = bench.evaluate(base)
    say(f"{name} unpruned: perplexity {dense['perplexity']:.4f}")
    pruner = Pruner(bench, base, sum(map(len, gradients["layer_scores"])))
    figures = {"dense": dense["perplexity"], "positions": dense["positions"],
               "shares": [measure_share(pruner, gradients, share, seeds) for share in shares]}
    return figures


def main():
    parser = parser_for(__doc__)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.2, 0.375])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("pruning_order", {name: measure_model(bench, name, options.shares, options.seeds)
                                       for name in options.models})


if __name__ == "__main__":
    main()
