#!/usr/bin/env python3
"""What each part of plasticity is worth: one file after the other at the bytes of llama-quantize's, each with one part more.

    uniform         llama-quantize's mix without an importance matrix
    importance      with one
    allocation      llama-quantize again, every matrix as policy `optimal` types it for these bytes
    search          the same types by the own quantisers
    error feedback  compress --gram
    aware           plan --gram, too: types as error feedback will leave them
    pruning         plan --prune auto, compensated; the plan says so where no head pays
    refinement      instead, plan --refine-trials on the calibration text, whose trials know no error feedback
    equalized       instead, plan --equalize

Calibration and measurement use different files; KL(base || file) is llama-perplexity's. Minutes are those of that row's own
steps on this machine, calibration included where it is the first to need it.
"""

import json

from quantize_speed import HF_NAMES
from workbench import Workbench, parser_for, remove, say

ROWS = ["uniform", "importance", "allocation", "search", "error feedback", "aware", "pruning", "refinement", "equalized"]
GGUF_NAMES = {hf: gguf for gguf, hf in HF_NAMES.items()}


def stock_types(recipe):
    """A recipe's types as llama-quantize takes them: REGEX=TYPE for every matrix of a block, and the embedding's type."""
    of_blocks, embedding = [], None
    for entry in recipe["tensorQuantMap"]:
        name, kind = entry["pattern"], entry["quantType"]
        if kind.lower() == "f32":
            continue  # norms and biases, which llama-quantize leaves alone
        assert "*" not in name, f"{name}: a plan of policy `optimal` names every matrix"
        if name == "model.embed_tokens.weight":
            embedding = kind
        elif name.startswith("model.layers."):
            _, _, layer, rest = name.removesuffix(".weight").split(".", 3)
            if rest in GGUF_NAMES:
                of_blocks.append(rf"blk\.{layer}\.{GGUF_NAMES[rest]}={kind}")
    return of_blocks, embedding


class Rows:
    """Makes the file of each row; times are those of its own steps."""

    def __init__(self, bench, base, mix):
        self._bench, self._base, self._mix = bench, base, mix
        self._target = bench.work / "row.gguf"
        self._recipe = bench.work / "recipe.json"
        self._bytes = None

    def make(self, row):
        """@returns the file and the seconds it took"""
        seconds = getattr(self, f"_{row.replace(' ', '_')}")()
        if self._bytes is None:
            self._bytes = self._target.stat().st_size
        return self._target, seconds

    def _quantize(self, *options):
        return self._bench.llama("llama-quantize", *options, self._base, self._target, self._mix,
                                 self._bench.options.threads).seconds

    def _plan(self, *more):
        gradients, stats, _ = self._bench.score(self._base, self._bench.gram(self._base))
        return self._bench.plasticity("plan", self._base, "--scores", gradients, "--stats", stats, "--policy", "optimal",
                                      "--target-size", self._bytes, *more, "-o", self._recipe, "--force").seconds

    def _compress(self, *more):
        _, stats, _ = self._bench.score(self._base, self._bench.gram(self._base))
        return self._bench.plasticity("compress", self._base, "--recipe", self._recipe, "--stats", stats, *more,
                                      "-o", self._target, "--force").seconds

    def _uniform(self):
        return self._quantize()

    def _importance(self):
        imatrix, seconds = self._bench.imatrix(self._base)
        return seconds + self._quantize("--imatrix", imatrix)

    def _allocation(self):
        gradients = self._bench.score(self._base, self._bench.gram(self._base))
        seconds = gradients[2] + self._plan("--prune", "off", "--align", "none")
        of_blocks, embedding = stock_types(json.loads(self._recipe.read_text()))
        types = self._bench.work / "types.txt"
        types.write_text("\n".join(of_blocks) + "\n")
        imatrix, _ = self._bench.imatrix(self._base)
        return seconds + self._quantize("--imatrix", imatrix, "--tensor-type-file", types, "--token-embedding-type", embedding)

    def _search(self):
        return self._plan("--prune", "off", "--align", "none") + self._compress()

    def _error_feedback(self):
        return self._plan("--prune", "off") + self._compress(*self._gram())

    def _aware(self, *more, prune="off"):
        return self._plan("--prune", prune, *self._gram(), *more) + self._compress(*self._gram())

    def _pruning(self):
        return self._aware(prune="auto")

    def _refinement(self):
        options = self._bench.options
        seconds = self._plan("--prune", "off", "--data", self._bench.calibration, "--refine-trials", options.trials,
                             "--calibration-tokens", options.refine_tokens)
        return seconds + self._compress(*self._gram())

    def _equalized(self):
        return self._aware("--equalize")

    def _gram(self):
        return "--gram", self._bench.gram(self._base)

    def heads_left(self):
        if not self._recipe.exists():
            return None
        return sum(len(layer["retainedHeadIndices"]) for layer in json.loads(self._recipe.read_text())["topology"]["layers"])


def measure(bench, name):
    base = bench.offgrid_base(name)
    logits = bench.work / "base-logits.bin"
    bench.stock_perplexity(base, "--kl-divergence-base", logits)
    rows, figures = Rows(bench, base, bench.options.mix), {}
    for row in bench.options.rows:
        file, seconds = rows.make(row)
        figures[row] = {"bytes": file.stat().st_size, "minutes": round(seconds / 60, 2), "heads_left": rows.heads_left(),
                        **bench.stock_divergence(logits, file)}
        say(f"{row}: {json.dumps(figures[row])}")
        remove(file)
    return {"mix": bench.options.mix, "rows": figures}


def main():
    parser = parser_for(__doc__, chunks=8)
    parser.set_defaults(models=["qwen2.5-coder-0.5b"])
    parser.add_argument("--mix", default="Q3_K_S", help="llama-quantize's, whose bytes every row may take")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, help="`uniform` or `importance` comes first: its bytes count")
    parser.add_argument("--trials", type=int, default=40, help="of refinement")
    parser.add_argument("--refine-tokens", type=int, default=4096, help="of calibration text for the trials")
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("ablation", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
