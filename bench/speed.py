#!/usr/bin/env python3
"""Speed next to llama.cpp's tools: same file, same threads, taken in turns so that a busy machine hits both alike.

Ratios are ours ÷ theirs in speed, so above 1 is faster. Only ratios carry over to other machines.
"""

import json
import statistics

from workbench import Workbench, parser_for, remove

PROMPT, GENERATED, REPETITIONS = 512, 64, 3


def paired(rounds, own, stock):
    """Medians of both and of the ratio of each round; own() and stock() return speeds."""
    pairs = [(own(), stock()) for _ in range(rounds)]
    return {"n": rounds, "own": statistics.median(a for a, _ in pairs), "stock": statistics.median(b for _, b in pairs),
            "ratio": statistics.median(a / b for a, b in pairs), "ratios": [a / b for a, b in pairs]}


class Quantizing:
    """All matrices of one type, without importance weights; speeds in MB of input a second."""

    def __init__(self, bench, base):
        self._bench, self._base, self._megabytes = bench, base, base.stat().st_size / 1e6
        self._recipe, self._output = bench.work / "recipe.json", bench.work / "quantised.gguf"

    def compare(self, gradients, type_name):
        self._bench.plasticity("plan", self._base, "--scores", gradients, "--prune", "off", "--target-size", "100GB",
                               "--tensor-type", f".*={type_name}", "-o", self._recipe, "--force")
        return paired(self._bench.options.rounds, self._own, lambda: self._stock(type_name))

    def _finished(self, run):
        size = self._output.stat().st_size
        remove(self._output)
        assert size < self._base.stat().st_size
        return self._megabytes / run.seconds

    def _own(self):
        return self._finished(self._bench.plasticity("compress", self._base, "--recipe", self._recipe,
                                                     "-o", self._output))

    def _stock(self, type_name):
        return self._finished(self._bench.llama("llama-quantize", "--pure", "--token-embedding-type", type_name,
                                                self._base, self._output, type_name, self._bench.options.threads))


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

    def prompt(self):
        return paired(self._bench.options.rounds, lambda: self._bench_speed(PROMPT, 0),
                      lambda: self._llama_bench(PROMPT, 0))

    def generation(self):
        return paired(self._bench.options.rounds, lambda: self._bench_speed(0, GENERATED),
                      lambda: self._llama_bench(0, GENERATED))

    def scoring(self):
        """Scoring, with loading, against the stock speed of a prompt in F16."""
        return paired(1, lambda: self._bench.options.tokens / self._bench.score(self._file)[2],
                      lambda: self._llama_bench(PROMPT, 0))


def measure(bench, name):
    base, small = bench.base(name), bench.work / "q8.gguf"
    figures = {"score": Running(bench, base).scoring()}
    gradients = bench.score(base)[0]
    for type_name in ("Q8_0", "Q5_1", "IQ4_NL"):
        figures[f"quantise {type_name}"] = Quantizing(bench, base).compare(gradients, type_name)
    figures["prompt F16"] = Running(bench, base).prompt()
    bench.llama("llama-quantize", base, small, "Q8_0", bench.options.threads)
    figures["prompt Q8_0"] = Running(bench, small).prompt()
    figures["generation Q8_0"] = Running(bench, small).generation()
    return figures


def main():
    parser = parser_for(__doc__, tokens=2048)
    parser.set_defaults(models=["smollm2"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("speed", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
