#!/usr/bin/env python3
"""Do a quantised model's scores stand for those of its F16 original? Spearman's rank correlation of all query heads.

The base is an off-grid one (offgrid_base.py), or SmolLM2 at F16; llama-quantize makes the files, without an importance matrix. All are scored on the same
tokens. Beside them stands what the choice of text alone changes: the F16 base on a disjoint sample of the same task.
"""

import json

from workbench import CALIBRATION, Workbench, library_files, parser_for, remove, say

TYPES = ["Q8_0", "Q6_K", "Q4_K_M", "Q3_K_S", "Q2_K"]


def scores(bench, model, text, name):
    target = bench.work / f"{name}.json"
    bench.plasticity("score", model, "--data", text, "--tokens", bench.options.tokens, "-o", target)
    return target


def correlation(bench, first, second):
    return round(json.loads(bench.plasticity("inspect", first, second, "--json").stdout)["rank_correlation"], 4)


def measure(bench, name, texts):
    base = bench.base(name)
    expected = scores(bench, base, texts[0], f"{name}-f16")
    found = {"other sample, F16": correlation(bench, scores(bench, base, texts[1], f"{name}-other"), expected)}
    for kind in bench.options.types:
        file = bench.work / "quantised.gguf"
        bench.llama("llama-quantize", base, file, kind, bench.options.threads)
        found[kind] = correlation(bench, scores(bench, file, texts[0], f"{name}-{kind}"), expected)
        remove(file)
        say(f"{name}: {json.dumps(found)}")
    return found


def main():
    parser = parser_for(__doc__, tokens=4096)
    parser.add_argument("--types", nargs="+", default=TYPES)
    options = parser.parse_args()
    with Workbench(options) as bench:
        texts = [bench.text_of_files(f"python-{i}.txt", library_files(CALIBRATION[i::2])) for i in (0, 1)]
        bench.finish("quantised_base", {name: measure(bench, name, texts) for name in options.models})


if __name__ == "__main__":
    main()
