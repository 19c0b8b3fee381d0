#!/usr/bin/env python3
"""Predicted against measured KL divergence: is the damage that a plan adds up worth planning by?

Recipes of three kinds, all predicted by policy optimal from one scoring run: every matrix at one type; one role at four
bits and everything else at eight; and the plans for several sizes. Each is compressed and measured on held-out text.
"""

import json

from workbench import Workbench, parser_for, remove, say

UNIFORM = ["q8_0", "q5_1", "q5_0", "q4_1", "iq4_nl", "q4_0"]
ROLES = ["token_embd", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
BITS_PER_WEIGHT = [4.75, 5.0, 5.5, 6.0, 6.5, 7.25]


def recipes():
    """Label and options of plan for each."""
    roomy = ["--target-bpw", 20]
    for kind in UNIFORM:
        yield f"all {kind}", [*roomy, "--tensor-type", f".*={kind}"]
    for role in ROLES:
        yield f"{role} q4_0, others q8_0", [*roomy, "--tensor-type", f"{role}=q4_0", "--tensor-type", ".*=q8_0"]
    for bits in BITS_PER_WEIGHT:
        yield f"optimal, {bits} bits per weight", ["--target-bpw", bits]


def ranks(values):
    order = sorted(range(len(values)), key=lambda i: values[i])
    result = [0] * len(values)
    for rank, i in enumerate(order):
        result[i] = rank
    return result


def rank_correlation(a, b):
    """Spearman's, for values without ties."""
    n = len(a)
    squares = sum((x - y) ** 2 for x, y in zip(ranks(a), ranks(b)))
    return 1 - 6 * squares / (n * (n * n - 1))


def measure(bench, name):
    base = bench.offgrid_base(name)
    gradients, stats, _ = bench.score(base)
    recipe, output = bench.work / "recipe.json", bench.work / "out.gguf"
    rows = []
    for label, options in recipes():
        bench.plasticity("plan", base, "--scores", gradients, "--stats", stats, "--policy", "optimal", "--prune", "off",
                         *options, "-o", recipe, "--force")
        bench.plasticity("compress", base, "--recipe", recipe, "--stats", stats, "-o", output)
        quality = bench.evaluate(output, base)
        rows.append({"recipe": label, "bytes": output.stat().st_size,
                     "predicted_kl": json.loads(recipe.read_text())["predictedKl"], "measured_kl": quality["mean_kl"]})
        say(json.dumps(rows[-1]))
        remove(output)
    predicted, measured = ([row[key] for row in rows] for key in ("predicted_kl", "measured_kl"))
    ratios = [p / m for p, m in zip(predicted, measured)]
    return {"recipes": rows, "rank_correlation": rank_correlation(predicted, measured),
            "mean_ratio": sum(ratios) / len(ratios), "mean_error": sum(abs(r - 1) for r in ratios) / len(ratios)}


def main():
    parser = parser_for(__doc__, chunks=4)
    parser.set_defaults(models=["smollm2"])
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("prediction", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
