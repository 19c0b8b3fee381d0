#!/usr/bin/env python3
"""Prompt and generation next to llama-bench: same file, same threads, taken in turns so that a busy machine hits both alike.

Ratios are ours ÷ theirs in tokens a second, so above 1 is faster; peaks are resident memory, mapped weights included. Only
ratios carry over to other machines. With --equal-quality also an own file at the bytes of Q3_K_S, by the own engine, against
llama-quantize's Q4_K_M by llama-bench, both with their divergence from the base. With --candle, a Rust toolchain and a Qwen2
also candle's quantised Qwen2 (bench/candle, built for this processor) on the same Q4_K_M.
"""

import os
import statistics

from hf_to_gguf import watch
from q3ks_size import PLANS, OwnTool, StockTool
from workbench import ROOT, Workbench, number_in, parser_for, remove

PROMPT, GENERATED = 512, 128
TYPES = ["Q8_0", "Q4_K_M"]


def paired(rounds, own, others):
    """Medians of all and of the own ratio to each in each round. @param others  {name: a function that returns a speed}"""
    taken = [(own(), [run() for run in others.values()]) for _ in range(rounds)]
    row = {"n": rounds, "own": statistics.median(speed for speed, _ in taken)}
    for i, name in enumerate(others):
        ratios = [speed / theirs[i] for speed, theirs in taken]
        row |= {name: statistics.median(theirs[i] for _, theirs in taken),
                "ratio" if name == "stock" else f"{name}_ratio": statistics.median(ratios),
                "ratios" if name == "stock" else f"{name}_ratios": ratios}
    return row


class Running:
    """Tokens a second of one file, or of an own file against another of llama.cpp's, and peaks of memory."""

    def __init__(self, bench, own_file, stock_file=None, candle=None):
        self._bench, self._own_file, self._stock_file, self._candle = bench, own_file, stock_file or own_file, candle
        self._folder = bench.work / "running"
        self._folder.mkdir(exist_ok=True)
        self.peaks = {}

    def _speed(self, who, label, *command):
        used = watch(command, self._folder)
        self.peaks[who] = max(self.peaks.get(who, 0), used.peak_resident_bytes)
        return number_in((self._bench.work / "output.log").read_text(encoding="utf-8", errors="replace"), label)

    def compare(self, prompt, generated):
        bench, options = self._bench, self._bench.options
        counts = ("-p", prompt, "-n", generated, "-r", options.repetitions, "-t", options.threads)
        label = '"prompt_tokens_per_second":' if prompt else '"generated_tokens_per_second":'
        others = {"stock": lambda: self._speed("stock", '"avg_ts":', bench.llama_bin / "llama-bench", "-m", self._stock_file,
                                               *counts, "-ngl", 0, "-o", "json")}
        if self._candle:
            others["candle"] = lambda: self._speed("candle", '"median_tokens_per_second":', self._candle, self._own_file, prompt,
                                                   generated, options.repetitions)
        return paired(options.rounds, lambda: self._speed("own", label, bench.program, "bench", "speed", self._own_file,
                                                                *counts, "--json", "--quiet"), others)

    def rows(self, what):
        """Of prompt, generation, and memory in bytes."""
        os.sync()  # the disk still writes what was quantised, and the first to run would wait for it
        rows = {f"prompt {what}": self.compare(PROMPT, 0), f"generation {what}": self.compare(0, GENERATED)}
        rows[f"peak {what}"] = self._peaks()
        return rows

    def _peaks(self):
        return {"n": self._bench.options.rounds, **self.peaks, "ratio": self.peaks["own"] / self.peaks["stock"]}


def equal_quality(bench, base):
    """Fewer bytes against more bits: where their divergences are alike, who runs faster?"""
    own_file, stock_file = bench.work / "own.gguf", bench.work / "stock.gguf"
    stock, own = StockTool(bench, base), OwnTool(bench, base)
    stock.quantize("Q3_K_S", stock_file)
    own.compress(own_file, stock_file.stat().st_size, bench.options.plans[0])
    stock.quantize("Q4_K_M", stock_file)
    about = {f"{who}_{key}": value for who, file in (("own", own_file), ("stock", stock_file))
             for key, value in (("bytes", file.stat().st_size), ("mean_kl", bench.evaluate(file, base)["mean_kl"]))}
    rows = Running(bench, own_file, stock_file).rows("at Q3_K_S's bytes against llama-quantize's Q4_K_M")
    remove(own_file)
    remove(stock_file)
    return {what: row | about for what, row in rows.items()}


def build_candle(bench):
    """bench/candle's program; some ten minutes the first time, in build/."""
    os.environ.update(RUSTFLAGS="-C target-cpu=native", CARGO_TARGET_DIR=str(ROOT / "build" / "candle"),
                      RAYON_NUM_THREADS=str(bench.options.threads))
    bench.run(["cargo", "build", "--release", "--locked", "--manifest-path", ROOT / "bench" / "candle" / "Cargo.toml"])
    return ROOT / "build" / "candle" / "release" / "candle-speed"


def measure(bench, name, candle):
    rows, file, base = {}, bench.work / "quantised.gguf", bench.base(name)
    for kind in TYPES:
        bench.llama("llama-quantize", base, file, kind, bench.options.threads)
        rows |= Running(bench, file, candle=candle if kind == "Q4_K_M" and name.startswith("qwen2") else None).rows(kind)
        remove(file)
    return rows | (equal_quality(bench, base) if bench.options.equal_quality else {})


def main():
    parser = parser_for(__doc__)
    parser.set_defaults(models=["smollm2"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=3, help="of each program in each round, after its warm-up")
    parser.add_argument("--candle", action="store_true", help="needs cargo")
    parser.add_argument("--equal-quality", action="store_true", help="scores the models, which takes long")
    parser.add_argument("--plans", nargs=1, choices=PLANS, default=["feedback-aware"], help="of --equal-quality")
    options = parser.parse_args()
    with Workbench(options) as bench:
        candle = build_candle(bench) if options.candle else None
        bench.finish("speed", {name: measure(bench, name, candle) for name in options.models})


if __name__ == "__main__":
    main()
