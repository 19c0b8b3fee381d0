#!/usr/bin/env python3
"""Do heads matter for one task and not for another? Scores of three tasks, how far they agree, and pruning by each.

The tasks: Python (its standard library), English (Python's reference manual, as pydoc carries it), C++ (the compiler's
headers). Of each, two disjoint samples to score and a third text to measure on. Rank correlations are Spearman's, over
all query heads: between the two samples of a task, for every number of tokens, and between tasks. Pruning: the share of
heads that a task's scores find least used goes, all matrices stay F16, and perplexity is measured on every task's text;
the number of heads that go is the same for all, asserted.
"""

import json
import subprocess
from pathlib import Path
from pydoc_data.topics import topics

from pruning_order import Pruner
from workbench import CALIBRATION, HELDOUT, Workbench, library_files, parser_for, say


def cpp_headers():
    """The directory of the C++ compiler's own headers, as it says itself."""
    said = subprocess.run(["c++", "-E", "-x", "c++", "-", "-v"], input="", capture_output=True, text=True, check=True)
    places = [Path(line.strip()) for line in said.stderr.splitlines() if line.startswith(" /")]
    return next(place for place in places if (place / "vector").exists())


def thirds(items):
    return [list(items)[start::3] for start in range(3)]


def task_texts(bench):
    """{task: (sample, other sample, held-out text)}"""
    headers = sorted(file for file in cpp_headers().glob("bits/*.h") if file.stat().st_size > 8000)
    english = [topics[name] for name in sorted(topics)]
    python = [library_files(modules) for modules in (CALIBRATION[::2], CALIBRATION[1::2], HELDOUT)]
    texts = {"python": tuple(bench.text_of_files(f"python-{i}.txt", part) for i, part in enumerate(python))}
    texts["english"] = tuple(bench.text_of(f"english-{i}.txt", part) for i, part in enumerate(thirds(english)))
    texts["c++"] = tuple(bench.text_of_files(f"c++-{i}.txt", part) for i, part in enumerate(thirds(headers)))
    return texts


class Scorer:
    def __init__(self, bench, base):
        self._bench, self._base = bench, base

    def scores(self, text, tokens):
        target = self._bench.work / f"{text.stem}-{tokens}.json"
        if not target.exists():
            self._bench.plasticity("score", self._base, "--data", text, "--tokens", tokens, "-o", target)
        return target

    def correlation(self, first, second):
        return round(json.loads(self._bench.plasticity("inspect", first, second, "--json").stdout)["rank_correlation"], 4)


def measure_correlations(scorer, texts, sizes):
    within = {task: {n: scorer.correlation(scorer.scores(a, n), scorer.scores(b, n)) for n in sizes}
              for task, (a, b, _) in texts.items()}
    largest = {task: scorer.scores(samples[0], sizes[-1]) for task, samples in texts.items()}
    between = {f"{a}, {b}": scorer.correlation(largest[a], largest[b])
               for a in texts for b in texts if a < b}
    say(f"within a task {json.dumps(within)}; between tasks {json.dumps(between)}")
    return {"within_a_task": within, "between_tasks": between}


def measure_pruning(bench, base, gradients, heldout, share):
    """{pruned by the scores of: {measured on: perplexity}}"""
    total = sum(map(len, next(iter(gradients.values()))["layer_scores"]))
    pruner = Pruner(bench, base, total)
    wishes = {task: pruner.reachable(scores, share) for task, scores in gradients.items()}
    common = set.intersection(*(set(found) for found in wishes.values()))
    removed = min(common, key=lambda n: (abs(n - share * total), n))
    perplexities = {"nothing": {task: bench.evaluate(base, text=text)["perplexity"] for task, text in heldout.items()}}
    for task, scores in gradients.items():
        found = pruner.perplexity(scores, removed, wishes[task][removed], heldout.values())
        perplexities[task] = dict(zip(heldout, found))
        say(f"{removed} of {total} heads gone by {task}: {json.dumps(perplexities[task])}")
    return {"share": share, "heads": total, "heads_removed": removed, "perplexity": perplexities}


def measure_model(bench, name, sizes, shares):
    base, texts = bench.base(name), task_texts(bench)
    scorer = Scorer(bench, base)
    figures = measure_correlations(scorer, texts, sizes)
    gradients = {task: json.loads(scorer.scores(samples[0], sizes[-1]).read_text()) for task, samples in texts.items()}
    heldout = {task: samples[2] for task, samples in texts.items()}
    return figures | {"pruning": [measure_pruning(bench, base, gradients, heldout, share) for share in shares]}


def main():
    parser = parser_for(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2048, 8192, 32768], help="tokens of a sample")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.2])
    options = parser.parse_args()
    options.tokens = max(options.sizes)  # what the result says of itself
    with Workbench(options) as bench:
        bench.finish("task_dependence", {name: measure_model(bench, name, sorted(options.sizes), options.shares)
                                         for name in options.models})


if __name__ == "__main__":
    main()
