"""Compresses a model for the task that a text shows, and lets the result write. Usage: compress.py MODEL TEXT"""

import sys

import plasticity


def show(progress: plasticity.Progress) -> None:
    if progress.total and progress.done == progress.total and not progress.note:
        print(f"{progress.task}: {progress.done} {progress.unit}", file=sys.stderr)


def write(text: str) -> None:
    print(text, end="", flush=True)


def main(model: str, text: str) -> None:
    scores = plasticity.score(model, text, "scores.json", tokens=256, on_progress=show)
    busiest = max(range(len(scores.absolute_sums)), key=lambda layer: scores.absolute_sums[layer].sum())
    print(f"layer {busiest} matters most to this task", file=sys.stderr)
    plasticity.plan(model, "scores.json", "recipe.json", target_bpw=5)
    done = plasticity.compress(model, "recipe.json", "small.gguf", on_progress=show)
    print(f"{done.compression_ratio:.2f} times smaller", file=sys.stderr)
    plasticity.infer("small.gguf", "def add(a, b):", predict=16, temp=0, on_text=write)


if __name__ == "__main__":
    main(*sys.argv[1:])
