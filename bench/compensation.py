#!/usr/bin/env python3
"""What compensation gives back after pruning: divergence and perplexity with and without it, at several shares of query
heads or, with --unit channels, of feed-forward channels.

Heads go in the order of their scores, channels in the order of what they are predicted to cost; all matrices stay F16, so
that pruning alone is measured. The Gram matrices come from the calibration text, the figures from other files. Beside
channels stand as many random ones of the same layers, and what stock llama.cpp makes of the file.
"""

import json
import random

from workbench import Workbench, number_in, parser_for, remove, say

SHARES = {"heads": [0.1, 0.2, 0.375], "channels": [0.05, 0.1, 0.2]}
OPTION = {"heads": "heads", "channels": "ffn"}  # of --prune


class Pruner:
    """Plans and files of one base without some of its heads or channels."""

    def __init__(self, bench, base):
        self._bench, self._base, self._unit = bench, base, bench.options.unit
        self.gram = bench.gram(base)
        self._gradients, self._stats, self.score_seconds = bench.score(base, self.gram)

    def plan(self, share):
        """A recipe as JSON."""
        recipe = self._bench.work / "planned.json"
        self._bench.plasticity("plan", self._base, "--scores", self._gradients, "--stats", self._stats, "--policy", "tiers",
                               "--prune", f"{OPTION[self._unit]}={share:.6f}", "--tensor-type", ".*=F16",
                               "--target-size", "100GB", "-o", recipe, "--force")
        return json.loads(recipe.read_text())

    def measure(self, recipe, gram=None, stock=False):
        """Divergence and perplexity of the file that a recipe makes. @param stock  also stock llama.cpp's perplexity"""
        path, output = self._bench.work / "recipe.json", self._bench.work / "pruned.gguf"
        path.write_text(json.dumps(recipe))
        run = self._bench.plasticity("compress", self._base, "--recipe", path, "-o", output, *(["--gram", gram] if gram else []))
        try:
            found = self._bench.evaluate(output, self._base) | {"compress_seconds": run.seconds}
            if stock:
                found["stock_perplexity"] = number_in(self._bench.stock_perplexity(output), "Final estimate: PPL =")
            return found
        finally:
            remove(output)


def n_removed(recipe, unit):
    layers = recipe["topology"]["layers"]
    if unit == "heads":
        return sum(len(layer["headScores"]) - len(layer["retainedHeadIndices"]) for layer in layers)
    parts = [layer["feedForward"] for layer in layers if "feedForward" in layer]
    return sum(part["originalNumChannels"] - part["numChannels"] for part in parts)


def ranges_of(channels):
    """First and last of every run of neighbours by turns, as a recipe has them."""
    ends = []
    for channel in channels:
        if not ends or channel != ends[-1] + 1:
            ends += [channel, channel]
        ends[-1] = channel
    return ends


def with_random_channels(recipe, seed):
    """The same widths, other channels."""
    drawn, generator = json.loads(json.dumps(recipe)), random.Random(seed)
    for layer in drawn["topology"]["layers"]:
        if part := layer.get("feedForward"):
            kept = generator.sample(range(part["originalNumChannels"]), part["numChannels"])
            part["retainedRanges"] = ranges_of(sorted(kept))
    return drawn


def measure_share(pruner, name, share, options):
    recipe = pruner.plan(share)
    found = {"share": share, f"{options.unit}_removed": n_removed(recipe, options.unit)}
    has_channels = options.unit == "channels"
    runs = [("cut", recipe, None), ("compensated", recipe, pruner.gram)]
    for seed in options.seeds if has_channels else []:
        drawn = with_random_channels(recipe, seed)
        runs += [(f"random_{seed}", drawn, None), (f"random_{seed}_compensated", drawn, pruner.gram)]
    for variant, wanted, gram in runs:
        found[variant] = pruner.measure(wanted, gram, stock=has_channels and not variant.startswith("random"))
        say(f"{name} {share:.1%} {variant}: {json.dumps(found[variant])}")
    return found


def measure_model(bench, name, options):
    pruner = Pruner(bench, bench.base(name))
    figures = {"score_seconds": pruner.score_seconds, "gram_bytes": pruner.gram.stat().st_size}
    shares = options.shares or SHARES[options.unit]
    return figures | {"shares": [measure_share(pruner, name, share, options) for share in shares]}


def main():
    parser = parser_for(__doc__)
    parser.add_argument("--unit", choices=SHARES, default="heads", help="what is pruned")
    parser.add_argument("--shares", type=float, nargs="+", help="of all units; default: three")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1], help="draws of random channels")
    options = parser.parse_args()
    with Workbench(options) as bench:
        title = "compensation" if options.unit == "heads" else "compensation_channels"
        bench.finish(title, {name: measure_model(bench, name, options) for name in options.models})


if __name__ == "__main__":
    main()
