#!/usr/bin/env python3
"""Does refinement by trials pay? The plan as it is and after `plan --refine`, of the same bytes, on held-out text."""

import json

from workbench import Workbench, parser_for, remove, say


def measure(bench, name, options):
    base = bench.offgrid_base(name)
    gradients, stats, _ = bench.score(base)
    recipe, output = bench.work / "recipe.json", bench.work / "out.gguf"
    figures = {}
    for bits in options.bits:
        for label, more in {"plan": [], "refined": ["--data", bench.calibration, *refinement(options)]}.items():
            run = bench.plasticity("plan", base, "--scores", gradients, "--stats", stats, "--policy", "optimal",
                                   "--prune", "off", "--target-bpw", bits, *more, "-o", recipe, "--force")
            bench.plasticity("compress", base, "--recipe", recipe, "--stats", stats, "-o", output)
            document = json.loads(recipe.read_text())
            entry = {"plan_seconds": run.seconds, "bytes": output.stat().st_size, "limit_bytes": document["budget"]["limitBytes"],
                     **bench.evaluate(output, base)}
            for key in ("predictedKl", "predictedKlError", "predictedDamage", "refinement"):
                if key in document:
                    entry[key] = document[key]
            figures[f"{bits} bits per weight, {label}"] = entry
            say(f"{name}, {bits}, {label}: {json.dumps(entry)}")
            remove(output)
    return figures


def refinement(options):
    tokens = ["--calibration-tokens", options.refine_tokens]
    if options.trials:
        return ["--refine-trials", options.trials, *tokens]
    return ["--refine", options.minutes, *tokens]


def main():
    parser = parser_for(__doc__, chunks=16)
    parser.set_defaults(models=["smollm2"])
    parser.add_argument("--bits", nargs="+", type=float, default=[5.0], help="per weight, of the whole file")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--trials", type=int, default=0, help="so many trials instead of minutes")
    parser.add_argument("--refine-tokens", type=int, default=4096, help="of calibration text for the trials")
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("refinement", {name: measure(bench, name, options) for name in options.models})


if __name__ == "__main__":
    main()
