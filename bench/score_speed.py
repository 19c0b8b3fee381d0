#!/usr/bin/env python3
"""Scoring against the fastest that llama.cpp reads a prompt with 16-bit weights, and against PyTorch's trainer: tokens/s.

Every program runs by turns on the same F16 base with the same threads. plasticity scores chunks of 512 tokens, gate
gradients alone: once as it comes (the activations of all blocks fit), once with --memory so that forward passes are computed
again. llama-bench reads 512 tokens at F16 and at BF16 (an export of the base); the faster counts. It computes logits of the
last token alone, the loss takes those of all and their way back: `bound` is the ratio that products at llama-bench's own speed
and nothing else would give. With --torch the Python trainer scores the exported folder; run it where that is installed: scripts/trainer python bench/score_speed.py --torch f32 bf16.
Loading is in none of the figures.
"""

import json
import re
import statistics
import sys

from gguf import GGUFReader

from hf_to_gguf import watch
from workbench import Workbench, parser_for, remove, say

LIMITED = 0.85  # of the memory that it takes where activations fit


class Scoring:
    """plasticity on one base."""

    def __init__(self, bench, base):
        self._bench, self._base = bench, base
        self.peak = 0

    def run(self, *more):
        """Tokens a second, and what was said."""
        target = self._bench.work / "scores"
        target.mkdir(exist_ok=True)
        used = watch([self._bench.program, "score", self._base, "--data", self._bench.calibration, "--tokens",
                      self._bench.options.tokens, "-o", target / "scores.json", "--force", "-t",
                      self._bench.options.threads, *more], target)
        self.peak = used.peak_resident_bytes
        log = (self._bench.work / "output.log").read_text(encoding="utf-8", errors="replace")
        tokens, seconds = self._last_line(log)
        return tokens / seconds, log

    @staticmethod
    def _last_line(log):
        """"score: 512 of 512 tokens, 54 tokens/s in 1 min 05 s"."""
        found = re.findall(r"^score: (\d+) of \d+ tokens, .* tokens/s in (?:(\d+) min )?([\d.]+) s", log, re.M)
        tokens, minutes, seconds = found[-1]
        return int(tokens), 60 * int(minutes or 0) + float(seconds)


def stock_speed(bench, file):
    run = bench.llama("llama-bench", "-m", file, "-p", 512, "-n", 0, "-t", bench.options.threads, "-ngl", 0, "-r", 1, "-o", "json")
    return json.loads(run.stdout)[0]["avg_ts"]


def bounds(file):
    """What could be reached, by the matrices' sizes: a block's forward pass is one of `body`."""
    sizes = {tensor.name: int(tensor.n_elements) for tensor in GGUFReader(file).tensors if len(tensor.shape) == 2}
    body = sum(size for name, size in sizes.items() if name.startswith("blk."))
    output = sizes.get("output.weight", sizes["token_embd.weight"])
    return {"keeping": round(body / (2 * body + 2 * output), 3), "recomputing": round(body / (3 * body + 2 * output), 3)}


def torch_seconds(bench, folder, dtype, tokens):
    target = bench.work / "trainer"
    target.mkdir(exist_ok=True)
    used = watch([sys.executable, "-m", "plasticity_trainer", "--model", folder, "--data", bench.calibration, "--max-tokens",
                  tokens, "--output", target / "scores", "--no-lora", "--dtype", dtype, "--quiet"], target)
    remove(target)
    return used


def torch_speed(bench, base, dtype):
    """What twice the tokens take longer, so that loading does not count; and the peak."""
    folder = bench.work / "folder"
    if not folder.exists():
        bench.plasticity("export", base, "--format", "hf", "-o", folder)
    tokens = bench.options.tokens
    once, twice = (torch_seconds(bench, folder, dtype, n) for n in (tokens, 2 * tokens))
    return {"tokens_per_second": round(tokens / (twice.seconds - once.seconds), 2),
            "peak_resident_bytes": twice.peak_resident_bytes}


def measure(bench, name):
    base = bench.base(name)
    bf16 = bench.work / f"{name}-bf16.gguf"
    bench.plasticity("export", base, "--format", "gguf", "--dtype", "bf16", "-o", bf16)
    scoring = Scoring(bench, base)
    _, log = scoring.run()
    assert "computed again" not in log and "pass through memory" not in log, "no room for the activations of all blocks"
    limit = ["--memory", int(LIMITED * scoring.peak)]
    rounds = {"keeping": [], "recomputing": [], "f16": [], "bf16": []}
    for _ in range(bench.options.rounds):
        rounds["f16"].append(stock_speed(bench, base))
        rounds["bf16"].append(stock_speed(bench, bf16))
        speed, _ = scoring.run()
        peak_keeping = scoring.peak
        rounds["keeping"].append(speed)
        speed, log = scoring.run(*limit)
        assert "computed again" in log, log
        rounds["recomputing"].append(speed)
    medians = {kind: round(statistics.median(speeds), 2) for kind, speeds in rounds.items()}
    fastest = max(("f16", "bf16"), key=medians.get)
    figures = {"tokens_per_second": medians, "rounds": rounds, "llama_cpp": fastest,
               "bound": bounds(base), "peak_resident_bytes": {"keeping": peak_keeping, "recomputing": scoring.peak}}
    for kind in ("keeping", "recomputing"):
        figures[f"{kind}_ratio"] = round(statistics.median(
            own / stock for own, stock in zip(rounds[kind], rounds[fastest])), 3)
    remove(bf16)
    for dtype in bench.options.torch:
        figures.setdefault("pytorch", {})[dtype] = torch_speed(bench, base, dtype)
    say(f"{name}: {json.dumps(figures)}")
    return figures


def main():
    parser = parser_for(__doc__, tokens=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch", nargs="*", default=[], metavar="DTYPE", help="f32, bf16: also by the Python trainer")
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("score_speed", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
