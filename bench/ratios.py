#!/usr/bin/env python3
"""The table of what is to be reached, from one or several results of run.sh. Usage: ratios.py RESULT.json...

Each ratio is ours against theirs, side by side in one run; with several results, their median and all of them.
"""

import json
import statistics
import sys
from pathlib import Path

from report import stock_beside, table
from workbench import MODELS


def quantizing(figures):
    for name, model in figures.items():
        for mix, pair in model["mixes"].items():
            yield (f"compress, types of {mix}, {MODELS[name]}", "llama-quantize: time", "≥ 5×" if mix.startswith("IQ") else "≥ 2×",
                   pair["times_faster_seconds"])
            if "mean_kl" in pair["own"]:
                yield (f"compress, types of {mix}, {MODELS[name]}", "llama-quantize: mean KL", "≤ 1×",
                       pair["own"]["mean_kl"] / pair["stock"]["mean_kl"])


def converting(figures):
    for name, model in figures.items():
        for mix, sides in model["mixes"].items():
            for key, what, goal in (("seconds", "time", "≥ 3×"), ("peak_disk_bytes", "disk", "> 1×")):
                yield (f"HF folder → {mix}, {MODELS[name]}", f"convert_hf_to_gguf.py and llama-quantize: {what}", goal,
                       sides["times_less"][key])


def shapes(figures):
    largest = max(figures["compress"], key=lambda row: row["source_bytes"])
    yield f"peak of compress, 70B's shape, {largest['what']}", "1 GiB", "≤ 1×", largest["peak_resident_bytes"] / 2**30
    yield "plan, 80 layers", "1 s", "≤ 1×", max(row["seconds"] for row in figures["plans"]["llama-70b"])


def running(figures):
    for name, model in figures.items():
        for what, pairs in model.items():
            against, goal = ("peak memory", "≤ 1×") if what.startswith("peak ") else ("speed", "≥ 1×")
            yield f"{what}, {MODELS[name]}", f"llama-bench: {against}", goal, pairs["ratio"]
            if "candle_ratio" in pairs:
                yield f"{what}, {MODELS[name]}", "candle: speed", "≥ 1×", pairs["candle_ratio"]


def scoring(figures):
    for name, model in figures.items():
        for kind, what, goal in (("keeping", "activations kept", "≥ 0.45×"), ("recomputing", "passes computed again", "≥ 0.30×")):
            yield (f"score, {what}, {MODELS[name]}", "llama-bench's fastest 16-bit prompt: speed", goal, model[f"{kind}_ratio"])


def quality(figures):
    for base, model in figures.items():
        for label, file in model["files"].items():
            if not label.endswith(", imatrix"):
                stock = model["files"][stock_beside(label)]
                yield (f"{label}, {base}", "llama-quantize with imatrix, the same bytes: mean KL", "≤ 0.5×",
                       file["llama_perplexity"]["mean_kl"] / stock["llama_perplexity"]["mean_kl"])


KINDS = {"quantize_speed": quantizing, "hf_to_gguf": converting, "large_shapes": shapes, "speed": running,
         "score_speed": scoring, "q3ks_size": quality}


def is_reached(goal, ratio):
    sign, bound = goal.rstrip("×").split()
    return {"≥": ratio >= float(bound), "≤": ratio <= float(bound), ">": ratio > float(bound)}[sign]


def ratios(result):
    """{(what, against, goal): ratio} of one result."""
    found = {}
    for name, rows in KINDS.items():
        for part in result.get(name, []):
            found |= {tuple(key): ratio for *key, ratio in rows(part["figures"])}
    return found


def main():
    runs = [ratios(json.loads(Path(path).read_text(encoding="utf-8"))) for path in sys.argv[1:]]
    rows = []
    for key in runs[0]:
        values = [run[key] for run in runs if key in run]
        ratio = statistics.median(values)
        several = [", ".join(f"{value:.3g}" for value in values)] if len(runs) > 1 else []
        rows.append([*key[:2], f"**{ratio:.3g}×**", *several, key[2], "yes" if is_reached(key[2], ratio) else "no"])
    several = [f"of {len(runs)} runs"] if len(runs) > 1 else []
    print(table(["what", "against", "ratio", *several, "goal", "reached"], rows), end="")


if __name__ == "__main__":
    main()
