#!/usr/bin/env python3
"""What `heal` gains: files of llama-quantize (with an importance matrix) and of plasticity, before and after.

Healed on the calibration text, --heal-tokens of it, an eighth of them held out; divergence from the off-grid base on the
held-out files by llama-perplexity, as in q3ks_size.py. Bytes stay; where `heal` refuses, its file is not there.
"""

import json
import subprocess

from q3ks_size import PLANS, Measure, OwnTool, StockTool
from workbench import MODELS, Workbench, parser_for, say

NOT_BETTER = 7


def healed(bench, base, file, target):
    """What the program says of it."""
    command = [bench.program, "heal", file, "--base", base, "--data", bench.calibration, "--tokens", bench.options.heal_tokens,
               "-o", target, "--json", "--quiet", "-t", bench.options.threads]
    run = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode not in (0, NOT_BETTER):
        raise SystemExit(f"bench: heal ended with {run.returncode}")
    return json.loads(run.stdout)


def before_and_after(bench, measure, base, label, file):
    target = bench.work / "healed.gguf"
    result = healed(bench, base, file, target)
    say(f"{label}: {json.dumps(result)}")

    def flat(name, path):
        entry = measure(name, path, {})
        return {"bytes": entry["bytes"], **entry["llama_perplexity"]}

    after = flat(f"{label}, healed", target) if target.exists() else None
    return {"heal": result | {"output": None}, "before": flat(label, file), "after": after}


def measure_model(bench, name):
    base, file = bench.offgrid_base(name), bench.work / "file.gguf"
    stock, measure, files = StockTool(bench, base), Measure(bench, base), {}
    for kind in bench.options.stock:
        stock.quantize(kind, file)
        size = file.stat().st_size
        files[kind] = before_and_after(bench, measure, base, f"{kind}, imatrix", file)
        for plan in bench.options.plans:
            OwnTool(bench, base).compress(file, size, plan)
            files[f"{plan} at {kind}"] = before_and_after(bench, measure, base, f"plasticity, {plan}, bytes of {kind}", file)
    measure.finish()
    return files


def main():
    parser = parser_for(__doc__)
    parser.add_argument("--heal-tokens", type=int, default=16384)
    parser.add_argument("--stock", nargs="+", default=["Q3_K_S"], metavar="TYPE", help="llama-quantize's mixes")
    parser.add_argument("--plans", nargs="*", choices=PLANS, default=[])
    options = parser.parse_args()
    options.own_engine = False
    with Workbench(options) as bench:
        bench.finish("healing", {MODELS[name]: measure_model(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
