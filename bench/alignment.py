#!/usr/bin/env python3
"""Rows that 256-wide blocks do not divide: 32-wide types, zero-padding or padded columns, at the same bytes per weight?

Widths of 576 and 896 (real models, off-grid F16 bases), 25 heads × 128 = 3200 and feed-forward widths that are no
multiples of 256 (random weights). Each is planned at --bits with --align none, pad, auto and columns, without pruning;
every file is measured against its base by the own engine and, where it is stock, run by llama-perplexity, whose perplexity
must be the own engine's. Columns of single matrices are padded with --allow-own: only the own engine runs them.
"""

import json
import re
import subprocess

from ragged_model import SHAPES, write
from workbench import MODELS, Workbench, parser_for, remove, say

ALIGNMENTS = ["none", "pad", "auto", "columns"]
INFEASIBLE = 5  # the program's exit code


def plan(bench, base, scored, bits, align):
    """The recipe's path, or the bytes of the smallest file where nothing fits."""
    target = bench.work / "recipe.json"
    gradients, stats, _ = scored
    command = [bench.program, "plan", base, "--scores", gradients, "--stats", stats, "--target-bpw", str(bits), "--policy",
               "optimal", "--prune", "off", "--align", align, "-o", target, "--force", "--quiet", "-t", str(bench.options.threads)]
    if align == "columns":
        command.append("--allow-own")
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode == INFEASIBLE:
        return None, int(re.search(r"smallest file is (\d+) bytes", result.stderr).group(1))
    if result.returncode != 0:
        raise SystemExit(f"bench: plan ended with {result.returncode}:\n{result.stderr[-2000:]}")
    return target, None


def rows_by_alignment(recipe):
    """Assignments by how their reasons say that rows lie."""
    counts = {}
    for entry in recipe["tensorQuantMap"]:
        match = re.search(r"(padded [^;:]*|\d+-wide blocks(?:: [^;]*)?|blocks of 1)", entry["reason"].rsplit("; ", 1)[-1])
        if match:
            counts[match.group(1)] = counts.get(match.group(1), 0) + 1
    return counts


def stock_perplexity(bench, file):
    """After the chunks that are measured. It is asked for more, since its log may end before its last lines are out."""
    chunks = bench.options.chunks
    found = re.search(rf"\[{chunks}\]([0-9.]+)", bench.stock_perplexity(file, "--chunks", chunks + 4))
    if not found:
        raise SystemExit(f"bench: llama-perplexity does not say how {file} does")
    return float(found.group(1))


def measure(bench, base, scored, recipe_path, recipe):
    target = bench.work / "aligned.gguf"
    stats = scored[1]
    announced = json.loads(bench.plasticity("compress", base, "--recipe", recipe_path, "--stats", stats, "-o", target,
                                            "--dry-run", "--json").stdout)["file_bytes"]
    bench.plasticity("compress", base, "--recipe", recipe_path, "--stats", stats, "-o", target)
    bench.plasticity("verify", target)
    assert target.stat().st_size == announced == recipe["budget"]["fileBytes"]
    quality = bench.evaluate(target, base)
    figures = {"padding": recipe.get("padding", {}), "stock": recipe["stock"], "architecture": recipe["outputArchitecture"],
               "rows": rows_by_alignment(recipe),
               "predicted_kl": recipe["predictedKl"], "mean_kl": quality["mean_kl"],
               "top1_agreement": quality["top1_agreement"], "perplexity": quality["perplexity"]}
    if recipe["stock"]:
        figures["stock_perplexity"] = stock_perplexity(bench, target)
    remove(target)
    return figures


def measure_case(bench, base):
    scored = bench.score(base)
    rows = []
    for bits in bench.options.bits:
        measured = {}
        for align in bench.options.align:
            path, smallest = plan(bench, base, scored, bits, align)
            row = {"bits": bits, "align": align}
            if path is None:
                row["smallest_file"] = smallest
            else:
                recipe = json.loads(path.read_text())
                padding = json.dumps([recipe.get("padding", {}), recipe["stock"]])
                row |= {"alignment": recipe.get("alignment", ""), "bytes": recipe["budget"]["fileBytes"]}
                if padding not in measured:  # auto's choice differs from one of the others in its words only
                    measured[padding] = measure(bench, base, scored, path, recipe)
                row |= measured[padding]
            say(f"{base.stem}: {json.dumps(row, ensure_ascii=False)}")
            rows.append(row)
    return {"base_bytes": base.stat().st_size, "rows": rows}


def random_base(bench, shape):
    target = bench.work / f"{shape}.gguf"
    write(SHAPES[shape], target)
    return target


def main():
    parser = parser_for(__doc__, tokens=1024, chunks=2)
    parser.add_argument("--align", nargs="+", choices=ALIGNMENTS, default=ALIGNMENTS)
    parser.add_argument("--bits", nargs="+", type=float, default=[4.0, 4.5, 5.0], help="of the file per weight")
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=list(SHAPES), help="with random weights")
    options = parser.parse_args()
    with Workbench(options) as bench:
        figures = {MODELS[name]: measure_case(bench, bench.offgrid_base(name)) for name in options.models}
        figures |= {SHAPES[shape].title: measure_case(bench, random_base(bench, shape)) for shape in options.shapes}
        bench.finish("alignment", figures)


if __name__ == "__main__":
    main()
