#!/usr/bin/env python3
"""Predicted against measured KL divergence: is the damage that a plan adds up worth planning by?

Recipes of three kinds, all predicted by policy optimal from one scoring run: every matrix at one type; one role at four
bits and everything else at eight; and the plans for several sizes. Each is compressed and measured on held-out text.
Predicted is the sum of damages as it is, the same on the curve that `plan --calibrate` fitted for one plan on calibration
text, and for some of the plans what --calibrate says of each.
"""

import json
import math

from workbench import Workbench, parser_for, remove, say

UNIFORM = ["q8_0", "q5_1", "q5_0", "q4_1", "iq4_nl", "q4_0"]
ROLES = ["token_embd", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
BITS_PER_WEIGHT = [4.75, 5.0, 5.5, 6.0, 6.5, 7.25]
CALIBRATED_AT = 5.0  # bits per weight of the plan whose curve serves all recipes
WITH_OWN_CURVE = [4.75, 5.5, 7.25]


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


def agreement(predicted, measured):
    ratios = [p / m for p, m in zip(predicted, measured)]
    return {"rank_correlation": rank_correlation(predicted, measured), "mean_ratio": sum(ratios) / len(ratios),
            "mean_error": sum(abs(r - 1) for r in ratios) / len(ratios)}


class Planner:
    """Plans of one base by policy optimal."""

    def __init__(self, bench, base):
        self._bench, self._base = bench, base
        self._gradients, self.stats, _ = bench.score(base)
        self.path = bench.work / "recipe.json"

    def plan(self, *options):
        self._bench.plasticity("plan", self._base, "--scores", self._gradients, "--stats", self.stats, "--policy",
                               "optimal", "--prune", "off", *options, "-o", self.path, "--force")
        return json.loads(self.path.read_text())

    def calibrated(self, *options):
        return self.plan(*options, "--data", self._bench.calibration, "--calibrate")


def on_curve(calibration, damage):
    return calibration["floor"] - calibration["ceiling"] * math.expm1(-calibration["rate"] * damage)


def measure(bench, name):
    base = bench.offgrid_base(name)
    planner, output = Planner(bench, base), bench.work / "out.gguf"
    calibration = planner.calibrated("--target-bpw", CALIBRATED_AT)["calibration"]
    rows = []
    for label, options in recipes():
        row = {"recipe": label}
        if options[-1] in WITH_OWN_CURVE:
            own = planner.calibrated(*options)
            row |= {"calibrated_kl": own["predictedKl"], "calibrated_kl_error": own["predictedKlError"]}
        damage = planner.plan(*options)["predictedKl"]
        bench.plasticity("compress", base, "--recipe", planner.path, "--stats", planner.stats, "-o", output)
        quality = bench.evaluate(output, base)
        row |= {"bytes": output.stat().st_size, "predicted_kl": damage, "curve_kl": on_curve(calibration, damage),
                "measured_kl": quality["mean_kl"]}
        rows.append(row)
        say(json.dumps(row))
        remove(output)
    measured = [row["measured_kl"] for row in rows]
    plans = [row for row in rows if "calibrated_kl" in row]
    within = sum(abs(row["calibrated_kl"] - row["measured_kl"]) <= row["calibrated_kl_error"] for row in plans)
    return {"calibration": calibration, "recipes": rows,
            "sum_of_damages": agreement([row["predicted_kl"] for row in rows], measured),
            "curve": agreement([row["curve_kl"] for row in rows], measured),
            "plans": {"sum_of_damages": agreement([row["predicted_kl"] for row in plans],
                                                  [row["measured_kl"] for row in plans]),
                      "calibrated": agreement([row["calibrated_kl"] for row in plans],
                                              [row["measured_kl"] for row in plans]),
                      "within_one_standard_error": within / len(plans)}}


def main():
    parser = parser_for(__doc__, chunks=4)
    parser.set_defaults(models=["smollm2"])
    options = parser.parse_args()
    with Workbench(options) as bench:
        bench.finish("prediction", {name: measure(bench, name) for name in options.models})


if __name__ == "__main__":
    main()
