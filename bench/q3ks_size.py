#!/usr/bin/env python3
"""At the bytes of llama-quantize's Q3_K_S with an importance matrix: whose file stays closer to the base?

Both start from the same off-grid F16 base and read the same calibration text. KL divergence, top-1 agreement and
perplexity come from the own engine (32-bit logits) and again from llama-perplexity, which keeps 16-bit log-probabilities.
"""

import json

from workbench import Workbench, number_in, parser_for, remove, say


def quantize_stock(bench, base, target):
    imatrix = bench.work / "imatrix.gguf"
    calibrated = bench.llama("llama-imatrix", "-m", base, "-f", bench.calibration, "-o", imatrix, "-c", 512, "-b", 512,
                             "-ngl", 0, "--chunks", bench.options.tokens // 512, "-t", bench.options.threads, "--no-ppl")
    run = bench.llama("llama-quantize", "--imatrix", imatrix, base, target, "Q3_K_S", bench.options.threads)
    fallbacks = [line for line in (run.stdout + run.stderr).splitlines() if "required fallback" in line]
    return {"calibration_seconds": calibrated.seconds, "quantize_seconds": run.seconds,
            "fallback": fallbacks[0].strip() if fallbacks else "none"}


class OwnTool:
    def __init__(self, bench, base):
        self._bench, self._base = bench, base
        self._gradients, self._stats, self.score_seconds = bench.score(base)

    def compress(self, target, bytes_allowed, prune):
        recipe = self._bench.work / "recipe.json"
        plan = self._bench.plasticity("plan", self._base, "--scores", self._gradients, "--stats", self._stats, "--prune",
                                      prune, "--target-size", bytes_allowed, "-o", recipe, "--force")
        run = self._bench.plasticity("compress", self._base, "--recipe", recipe, "--stats", self._stats, "-o", target)
        assert target.stat().st_size <= bytes_allowed, f"{target.stat().st_size} bytes; allowed {bytes_allowed}"
        topology = json.loads(recipe.read_text())["topology"]
        heads = sum(len(layer["retainedHeadIndices"]) for layer in topology["layers"])
        types = [entry["quantType"] for entry in json.loads(recipe.read_text())["tensorQuantMap"]]
        return {"calibration_seconds": self.score_seconds, "plan_seconds": plan.seconds,
                "quantize_seconds": run.seconds, "heads_left": heads, "types": sorted(set(types))}


def stock_divergence(bench, base_logits, file):
    text = bench.stock_perplexity(file, "--kl-divergence", "--kl-divergence-base", base_logits)
    return {"mean_kl": number_in(text, "Mean    KLD:"), "median_kl": number_in(text, "Median  KLD:"),
            "p999_kl": number_in(text, r"99\.9%   KLD:"), "max_kl": number_in(text, "Maximum KLD:"),
            "top1_agreement": number_in(text, "Same top p:") / 100,
            "perplexity": number_in(text, r"Mean PPL\(Q\) +:"),
            "base_perplexity": number_in(text, r"Mean PPL\(base\) +:")}


def measure(bench, name):
    base = bench.offgrid_base(name)
    stock, own, pruned = (bench.work / f"{kind}.gguf" for kind in ("q3ks", "plasticity", "plasticity-pruned"))
    figures = {"base_bytes": base.stat().st_size, "files": {"Q3_K_S, imatrix": quantize_stock(bench, base, stock)}}
    tool, allowed = OwnTool(bench, base), stock.stat().st_size
    figures["files"]["plasticity, --prune off"] = tool.compress(own, allowed, "off")
    figures["files"]["plasticity, --prune auto"] = tool.compress(pruned, allowed, "auto")

    base_logits = bench.work / "base-logits.bin"
    if bench.options.cross_check:
        bench.stock_perplexity(base, "--kl-divergence-base", base_logits)
    for label, file in zip(figures["files"], (stock, own, pruned)):
        entry = figures["files"][label]
        entry |= {"bytes": file.stat().st_size, "own_engine": bench.evaluate(file, base)}
        if bench.options.cross_check:
            entry["llama_perplexity"] = stock_divergence(bench, base_logits, file)
        say(f"{label}: {json.dumps(entry)}")
        remove(file)
    return figures


def main():
    parser = parser_for(__doc__, chunks=6)
    parser.set_defaults(models=["qwen2.5-coder-0.5b"])
    parser.add_argument("--no-cross-check", dest="cross_check", action="store_false",
                        help="leave llama-perplexity's figures out")
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("q3ks_size", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
