#!/usr/bin/env python3
"""A draft that guesses ahead (`infer --draft`): are the greedy tokens those without it, and how much sooner are they there?

The base in F16 continues beginnings of functions, once alone and once with each draft, by turns: an own file of the same
model at the bytes of Q3_K_S, and with --small another model of the same vocabulary in Q4_0. Speeds are of generation alone;
loading is in none of them. Tokens differ where two logits lie within rounding of each other, since several tokens go
through the model in one pass; where that happens is counted and named.
"""

import json
import statistics

from q3ks_size import OwnTool, StockTool
from workbench import MODELS, Workbench, parser_for, remove, say

PROMPTS = ['def is_prime(n):\n    """Return True if n is a prime number, else False."""\n',
           'def binary_search(items, target):\n    """Return the index of target in the sorted list items, or -1."""\n',
           "import json\nimport sys\n\n\ndef main():\n    parser = argparse.ArgumentParser(",
           'class Stack:\n    """A last-in, first-out container."""\n\n    def __init__(self):\n']


def infer(bench, base, prompt, *more):
    run = bench.plasticity("infer", base, "-p", prompt, "-n", bench.options.length, "--temp", 0, "-c", 1024, "--json", *more)
    return json.loads(run.stdout)


def compared(bench, base, drafts):
    rows = {label: {"ratios": [], "same_tokens": 0, "guessed": 0, "accepted": 0, "differ_at": []} for label in drafts}
    alone_speeds = []
    for prompt in PROMPTS:
        alone = infer(bench, base, prompt)
        alone_speeds.append(alone["generated_tokens_per_second"])
        for label, draft in drafts.items():
            drafted, row = infer(bench, base, prompt, "--draft", draft), rows[label]
            pairs = list(zip(alone["token_ids"], drafted["token_ids"]))
            at = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
            if at is None and len(alone["token_ids"]) == len(drafted["token_ids"]):
                row["same_tokens"] += 1
            else:
                row["differ_at"].append(len(pairs) if at is None else at)
            row["ratios"].append(drafted["generated_tokens_per_second"] / alone["generated_tokens_per_second"])
            row["guessed"] += drafted["guessed_tokens"]
            row["accepted"] += drafted["accepted_tokens"]
            say(f"{label}: {json.dumps(row)}")
    for label, row in rows.items():
        row |= {"prompts": len(PROMPTS), "ratio": statistics.median(row["ratios"]), "draft_bytes": drafts[label].stat().st_size}
    return {"alone_tokens_per_second": statistics.median(alone_speeds), "drafts": rows}


def measure(bench, name):
    base, own_file, drafts = bench.base(name), bench.work / "own.gguf", {}
    stock = StockTool(bench, base)
    stock.quantize("Q3_K_S", own_file)
    size = own_file.stat().st_size
    remove(own_file)
    OwnTool(bench, base).compress(own_file, size, "optimal")
    drafts["the same model, bytes of Q3_K_S"] = own_file
    if bench.options.small:
        small = bench.work / "small.gguf"
        bench.llama("llama-quantize", bench.base(bench.options.small), small, "Q4_0", bench.options.threads)
        drafts[f"{MODELS[bench.options.small]}, Q4_0"] = small
    return compared(bench, base, drafts)


def main():
    parser = parser_for(__doc__)
    parser.set_defaults(models=["qwen2.5-coder-0.5b"], plans=["optimal"])
    parser.add_argument("--small", choices=MODELS, help="another model that guesses, too")
    parser.add_argument("--length", type=int, default=96, help="tokens to generate")
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("speculation", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
