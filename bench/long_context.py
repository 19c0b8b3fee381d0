#!/usr/bin/env python3
"""Does pruning pay where the KV cache takes much of a device's memory? Plans for one budget at a long context, with pruning
and without: what is chosen, what it takes, and how far the file is from its base on held-out text.
"""

import json

from workbench import Workbench, parser_for, remove, say

PRUNE = ["off", "auto"]


def plan(bench, base, recipe, prune, device):
    gram = bench.gram(base)
    gradients, stats, _ = bench.score(base, gram)
    return bench.plasticity("plan", base, "--scores", gradients, "--stats", stats, "--policy", "optimal", "--prune", prune,
                            "--device", json.dumps(device), "--context", bench.options.context, "-o", recipe, "--force")


def measure_plan(bench, base, prune, device):
    recipe, output = bench.work / "recipe.json", bench.work / "out.gguf"
    run = plan(bench, base, recipe, prune, device)
    document = json.loads(recipe.read_text())
    _, stats, _ = bench.score(base, bench.gram(base))
    bench.plasticity("compress", base, "--recipe", recipe, "--stats", stats, "--gram", bench.gram(base), "-o", output, "--force")
    layers = document["topology"]["layers"]
    found = {"plan_seconds": round(run.seconds, 2), "budget": document["budget"], "file_bytes": output.stat().st_size,
             "heads_left": sum(len(layer["retainedHeadIndices"]) for layer in layers),
             "kv_heads_left": sum(len(layer["retainedKvHeadIndices"]) for layer in layers),
             "types": sorted({entry["quantType"] for entry in document["tensorQuantMap"]}),
             "predicted_kl": document.get("predictedKl"), **bench.evaluate(output, base)}
    remove(output)
    return found


def measure(bench, name):
    base, figures = bench.offgrid_base(name), {}
    for gigabytes in bench.options.gigabytes:
        device = {"memoryGb": gigabytes, "reservedGb": 0, "label": f"{gigabytes} GB"}
        for prune in PRUNE:
            label = f"{gigabytes} GB, prune {prune}"
            figures[label] = measure_plan(bench, base, prune, device)
            say(f"{label}: {json.dumps(figures[label])}")
    return figures


def main():
    parser = parser_for(__doc__, chunks=8)
    parser.set_defaults(models=["qwen2.5-coder-1.5b"])
    parser.add_argument("--context", type=int, default=32768, help="tokens")
    parser.add_argument("--gigabytes", nargs="+", type=float, default=[2.2, 1.9], help="of memory, all of it for the model")
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("long_context", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
