#!/usr/bin/env python3
"""The own engine against stock llama.cpp on the same files: logits, top-1 tokens and perplexity.

Files: an F16 base, and the same model with a tenth of its heads pruned, unevenly over layers, and quantised. Figures of
single logits come from compare_logits (in-process libllama), perplexities from `plasticity eval` and llama-perplexity.
"""

import json
from pathlib import Path

from workbench import ROOT, Workbench, number_in, parser_for, remove, say

# Of the F16 file; types of about 5 bits.
COMPRESSED_SHARE = 0.36
PRUNED_SHARE = 0.1


def compressed(bench, base, target):
    gradients, recipe = bench.score(base)[0], bench.work / "recipe.json"
    bench.plasticity("plan", base, "--scores", gradients, "--prune", f"heads={PRUNED_SHARE}", "--target-size",
                     int(base.stat().st_size * COMPRESSED_SHARE), "-o", recipe, "--force")
    bench.plasticity("compress", base, "--recipe", recipe, "-o", target)
    layers = json.loads(recipe.read_text())["topology"]["layers"]
    return [[len(layer["retainedHeadIndices"]), len(layer["retainedKvHeadIndices"])] for layer in layers]


def agreement(bench, file):
    options = bench.options
    logits = json.loads(bench.run([options.compare_logits, file, bench.heldout, options.chunks, options.threads]).stdout)
    figures = {"bytes": file.stat().st_size} | logits
    if options.tools:
        own, stock = bench.evaluate(file), number_in(bench.stock_perplexity(file), "Final estimate: PPL =")
        assert own["positions"] == logits["positions"], f"{own['positions']} positions, not {logits['positions']}"
        figures |= {"plasticity_eval": own["perplexity"], "llama_perplexity": stock}
    say(f"{file.name}: {json.dumps(figures)}")
    return figures


def measure(bench, name):
    base = bench.base(name)
    small = bench.work / f"{name}-compressed.gguf"
    figures = {"F16": agreement(bench, base)}
    heads = compressed(bench, base, small)
    figures["pruned, quantised"] = agreement(bench, small) | {"heads_and_groups_per_layer": heads}
    remove(small)
    return figures


def main():
    parser = parser_for(__doc__, tokens=2048, chunks=9)
    parser.add_argument("--compare-logits", type=Path, default=ROOT / "build" / "release" / "bench" / "compare_logits",
                        help="made by: cmake --build --preset release --target compare_logits")
    parser.add_argument("--in-process", dest="tools", action="store_false",
                        help="leave out `plasticity eval` and llama-perplexity, which repeat the perplexities")
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("logits_agreement", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
