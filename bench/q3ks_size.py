#!/usr/bin/env python3
"""At the bytes of llama-quantize's files with an importance matrix: whose file stays closer to the base?

Both start from the same off-grid F16 base and read the same calibration text. KL divergence, top-1 agreement and
perplexity come from llama-perplexity, which keeps 16-bit log-probabilities, and with --own-engine again from the own
engine (32-bit logits). Each of --plans is planned at exactly the bytes of each of --stock.
"""

import json

from workbench import Workbench, parser_for, remove, say

PLANS = {
    "tiers": ["--policy", "tiers", "--prune", "off"],
    "tiers-pruned": ["--policy", "tiers", "--prune", "auto"],
    "optimal": ["--policy", "optimal", "--prune", "off"],
    "optimal-pruned": ["--policy", "optimal", "--prune", "auto"],
    "optimal-feedback": ["--policy", "optimal", "--prune", "off"],
    "feedback-aware": ["--policy", "optimal", "--prune", "off"],
    "equalized": ["--policy", "optimal", "--prune", "off", "--equalize"],
}
WITH_GRAM = {"optimal-feedback", "feedback-aware", "equalized"}  # compress has Gram matrices
PLANNED_WITH_GRAM = {"feedback-aware", "equalized"}


class StockTool:
    def __init__(self, bench, base):
        self._bench, self._base = bench, base
        self._imatrix, self._seconds = bench.imatrix(base)

    def quantize(self, kind, target):
        run = self._bench.llama("llama-quantize", "--imatrix", self._imatrix, self._base, target, kind,
                                self._bench.options.threads)
        fallbacks = [line for line in (run.stdout + run.stderr).splitlines() if "required fallback" in line]
        return {"calibration_seconds": self._seconds, "quantize_seconds": run.seconds,
                "fallback": fallbacks[0].strip() if fallbacks else "none"}


class OwnTool:
    def __init__(self, bench, base):
        self._bench, self._base = bench, base
        self._gram = bench.gram(base) if WITH_GRAM & set(bench.options.plans) else None
        self._gradients, self._stats, self._score_seconds = bench.score(base, self._gram)

    def compress(self, target, bytes_allowed, plan_name):
        path = self._bench.work / "recipe.json"
        planned_with = ["--gram", self._gram] if plan_name in PLANNED_WITH_GRAM else []
        damages = self._bench.work / f"{self._base.stem}-{plan_name}.damages.json"  # measured for the first size alone
        plan = self._bench.plasticity("plan", self._base, "--scores", self._gradients, "--stats", self._stats,
                                      "--target-size", bytes_allowed, *PLANS[plan_name], *planned_with,
                                      "--damages", damages, "-o", path, "--force")
        gram = ["--gram", self._gram] if plan_name in WITH_GRAM else []
        run = self._bench.plasticity("compress", self._base, "--recipe", path, "--stats", self._stats, *gram,
                                     "-o", target, "--json")
        assert target.stat().st_size <= bytes_allowed, f"{target.stat().st_size} bytes; allowed {bytes_allowed}"
        recipe = json.loads(path.read_text())
        heads = sum(len(layer["retainedHeadIndices"]) for layer in recipe["topology"]["layers"])
        types = sorted({entry["quantType"] for entry in recipe["tensorQuantMap"]})
        return {"calibration_seconds": self._score_seconds, "plan_seconds": plan.seconds,
                "quantize_seconds": run.seconds, "heads_left": heads, "types": types,
                "predicted_kl": recipe.get("predictedKl"),
                "output_error_ratio": json.loads(run.stdout)["output_error_ratio"]}


class Measure:
    """Divergence of files from one base, whose logits each engine computes once."""

    def __init__(self, bench, base):
        self._bench, self._base = bench, base
        self._logits = bench.work / "base-logits.bin"
        self._files = {}
        self._entries = {}
        bench.stock_perplexity(base, "--kl-divergence-base", self._logits)

    def __call__(self, label, file, entry):
        """By llama-perplexity. The file stays where the own engine measures, too.

        @returns the entry, which finish() completes
        """
        self._entries[label] = entry | {"bytes": file.stat().st_size,
                                       "llama_perplexity": self._bench.stock_divergence(self._logits, file)}
        say(f"{label}: {json.dumps(self._entries[label])}")
        if self._bench.options.own_engine:
            self._files[label] = file
        else:
            remove(file)
        return self._entries[label]

    def finish(self):
        """@returns the entries by label"""
        remove(self._logits)
        if self._files:
            for label, quality in zip(self._files, self._bench.compare(self._base, self._files.values())):
                self._entries[label]["own_engine"] = quality
                remove(self._files[label])
        return self._entries


def measure_base(bench, name, seed):
    base = bench.offgrid_base(name, seed, bench.options.dither)
    stock, own, measure = StockTool(bench, base), OwnTool(bench, base), Measure(bench, base)
    for kind in bench.options.stock:
        target = bench.work / f"{kind}.gguf"
        entry = stock.quantize(kind, target)
        allowed = target.stat().st_size
        measure(f"{kind}, imatrix", target, entry)
        for plan in bench.options.plans:
            target = bench.work / f"{plan}-{kind}.gguf"
            measure(f"plasticity, {plan}, bytes of {kind}", target, own.compress(target, allowed, plan))
    return {"base_bytes": base.stat().st_size, "files": measure.finish()}


def main():
    parser = parser_for(__doc__, chunks=6)
    parser.set_defaults(models=["qwen2.5-coder-0.5b"])
    parser.add_argument("--stock", nargs="+", default=["Q3_K_S"], metavar="TYPE", help="llama-quantize's mixes")
    parser.add_argument("--plans", nargs="+", choices=PLANS, default=["tiers", "optimal", "optimal-pruned"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], help="of the off-grid bases")
    parser.add_argument("--dither", action="store_true", help="bases whose weights moved instead of being rescaled")
    parser.add_argument("--own-engine", action="store_true", help="measure by the own engine too (keeps all files until then)")
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("q3ks_size", {f"{name}, seed {seed}": measure_base(bench, name, seed)
                                   for name in options.models for seed in options.seeds})


if __name__ == "__main__":
    main()
