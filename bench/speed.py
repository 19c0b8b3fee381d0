#!/usr/bin/env python3
"""Prompt and generation next to llama-bench: same file, same threads, taken in turns so that a busy machine hits both alike.

Ratios are ours ÷ theirs in tokens a second, so above 1 is faster. Only ratios carry over to other machines.
"""

import json
import statistics

from workbench import Workbench, parser_for, remove

PROMPT, GENERATED, REPETITIONS = 512, 128, 3
TYPES = ["Q8_0", "Q4_K_M"]


def paired(rounds, own, stock):
    """Medians of both and of the ratio of each round; own() and stock() return speeds."""
    pairs = [(own(), stock()) for _ in range(rounds)]
    return {"n": rounds, "own": statistics.median(a for a, _ in pairs), "stock": statistics.median(b for _, b in pairs),
            "ratio": statistics.median(a / b for a, b in pairs), "ratios": [a / b for a, b in pairs]}


class Running:
    """Tokens a second of one file."""

    def __init__(self, bench, file):
        self._bench, self._file = bench, file

    def _llama_bench(self, prompt, generated):
        run = self._bench.llama("llama-bench", "-m", self._file, "-p", prompt, "-n", generated, "-r", REPETITIONS, "-ngl", 0,
                                "-t", self._bench.options.threads, "-o", "json")
        return json.loads(run.stdout)[0]["avg_ts"]

    def _bench_speed(self, prompt, generated):
        run = self._bench.plasticity("bench", "speed", self._file, "-p", prompt, "-n", generated, "-r", REPETITIONS,
                                     "--json")
        return json.loads(run.stdout)["prompt_tokens_per_second" if prompt else "generated_tokens_per_second"]

    def compare(self, prompt, generated):
        return paired(self._bench.options.rounds, lambda: self._bench_speed(prompt, generated),
                      lambda: self._llama_bench(prompt, generated))


def measure(bench, name):
    figures, file = {}, bench.work / "quantised.gguf"
    for kind in TYPES:
        bench.llama("llama-quantize", bench.base(name), file, kind, bench.options.threads)
        running = Running(bench, file)
        figures[f"prompt {kind}"] = running.compare(PROMPT, 0)
        figures[f"generation {kind}"] = running.compare(0, GENERATED)
        remove(file)
    return figures


def main():
    parser = parser_for(__doc__)
    parser.set_defaults(models=["smollm2"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("speed", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
