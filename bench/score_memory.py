#!/usr/bin/env python3
"""Scoring within a limit on memory: what it takes, what it costs in time, and whether the results are the same bytes.

Real models are scored without a limit and with --limits, as shares of what they took without; then a model of the shape of
Qwen2.5-Coder-7B, whose weights are holes in sparse files but for the first rows of every matrix, with --memory 4GB, of
which both orders of its weights at F16 would take seven times as much. On Linux only, as hf_to_gguf.py.
"""

import filecmp
import json
import re

from hf_to_gguf import watch
from shaped_model import SHAPES, write_model
from workbench import Workbench, parser_for, remove, say

SHAPE = "qwen2.5-coder-7b"
TOKENIZER_OF = "qwen2.5-coder-0.5b"


def score(bench, model, name, n_tokens, *more):
    """Figures of one run, and the files that it wrote."""
    folder = bench.work / name
    folder.mkdir(exist_ok=True)
    outputs = [folder / "scores.json", folder / "stats.gguf"]
    used = watch([bench.program, "score", model, "--data", bench.calibration, "--tokens", n_tokens, "-o", outputs[0],
                  "--stats", outputs[1], "--force", "-t", bench.options.threads, *more], folder)
    log = (bench.work / "output.log").read_text(encoding="utf-8", errors="replace")
    return {"seconds": round(used.seconds, 1), "cpu_seconds": round(used.cpu_seconds, 1),
            "peak_resident_bytes": used.peak_resident_bytes,
            "tokens": int(re.findall(r"^score: (\d+) of \d+ tokens", log, re.M)[-1]),
            "streamed": "weights pass through memory" in log}, outputs


def measure(bench, base, limits):
    tokens = bench.options.tokens
    free, expected = score(bench, base, "free", tokens)
    say(f"{base.stem}, no limit: {json.dumps(free)}")
    rows = [free]
    for share in limits:
        limit = int(share * free["peak_resident_bytes"])
        row, found = score(bench, base, "limited", tokens, "--memory", str(limit))
        same = all(filecmp.cmp(a, b, shallow=False) for a, b in zip(found, expected))
        rows.append({"limit": limit} | row | {"same_bytes": same})
        say(f"{base.stem}: {json.dumps(rows[-1])}")
    return rows


def large(bench):
    """A sparse 7B with a real tokenizer."""
    folder, donor = bench.work / "sparse", bench.work / "donor"
    write_model(folder, SHAPES[SHAPE], dense=False)
    bench.plasticity("export", bench.model(TOKENIZER_OF), "--format", "hf", "-o", donor)
    for file in donor.iterdir():
        if not re.search(r"\.safetensors|^config\.json|index\.json", file.name):
            file.rename(folder / file.name)
    remove(donor)
    source = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    row, _ = score(bench, folder, "large", bench.options.large_tokens, "--memory", "4GB")
    figures = {"shape": SHAPE, "source_bytes": source, "limit": 4 * 10**9} | row
    say(json.dumps(figures))
    return figures


def main():
    parser = parser_for(__doc__, tokens=2048)
    parser.add_argument("--limits", nargs="*", type=float, default=[0.5], metavar="SHARE")
    parser.add_argument("--large-tokens", type=int, default=512, help="of the large shape; 0: leave it out")
    options = parser.parse_args()
    with Workbench(options) as bench:
        figures = {name: measure(bench, bench.base(name), options.limits) for name in options.models}
        if options.large_tokens:
            figures["large"] = large(bench)
        bench.finish("score_memory", figures)


if __name__ == "__main__":
    main()
