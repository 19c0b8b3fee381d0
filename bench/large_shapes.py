#!/usr/bin/env python3
"""Models far larger than this machine, by their shapes alone (shaped_model.py): how long a plan takes and what it says, and
what compressing takes of memory, whatever the model's and its tensors' size.

Plans of the 32B shape are tiers of seeded scores: they show budgets, not a model's quality. Most rows of the 70B are holes
in sparse files, read and quantised as zeros; how fast weights pass is what the layer without holes shows. --layers 80
writes the whole output, 28 GB; --gram takes minutes more. On Linux only, as hf_to_gguf.py.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from fnmatch import fnmatch

from hf_to_gguf import watch
from shaped_model import SHAPES
from workbench import ROOT, Workbench, parser_for, remove, say

FREE_BYTES = 20 * 10**9  # that stay on the disk
PLANS_70B = [("--target-size", "32GB", "--prune", prune) for prune in ("off", "auto", "kv-groups=3")]
PLANS_32B = [("--device", device, "--context", context, "--prune", "auto")
             for device in ("16gb", "24gb-vram", "32gb") for context in (4096, 32768)]
PLANS_32B += [("--target-size", size, "--prune", prune)
              for size, prune in (("12.9GB", "auto"), ("12.9GB", "kv-groups=3"), ("12.9GiB", "kv-groups=3"))]


def shaped(bench, name, *options):
    """A folder with the inputs of a shape. In a process of its own: its memory is not to be counted."""
    folder = bench.work / name
    bench.run([sys.executable, ROOT / "bench" / "shaped_model.py", folder, *options])
    return folder


def weights_by_type(recipe, shape):
    """Share of all weights of matrices that each type holds."""
    layers = recipe["topology"]["layers"]
    weights = {}

    def add(name, count):
        quant_type = next(entry["quantType"] for entry in recipe["tensorQuantMap"] if fnmatch(name, entry["pattern"]))
        weights[quant_type] = weights.get(quant_type, 0) + count

    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        add(name, shape.vocabulary * shape.width)
    for index, layer in enumerate(layers):
        for name, _, (rows, columns) in shape.matrices(index):
            heads = {"q_proj": layer["numHeads"] / shape.heads, "o_proj": layer["numHeads"] / shape.heads,
                     "k_proj": layer["numKvHeads"] / shape.groups, "v_proj": layer["numKvHeads"] / shape.groups}
            add(f"{name}.weight", rows * columns * heads.get(name.split(".")[-1], 1))
    total = sum(weights.values())
    return {quant_type: round(count / total, 4) for quant_type, count in sorted(weights.items(), key=lambda x: -x[1])}


def described(recipe, shape):
    layers, budget = recipe["topology"]["layers"], recipe["budget"]
    kept = [layer["numHeads"] for layer in layers]
    return {"heads_kept": sum(kept), "heads": shape.layers * shape.heads, "fewest_heads": min(kept),
            "most_heads": max(kept), "groups_kept": sum(layer["numKvHeads"] for layer in layers),
            "groups": shape.layers * shape.groups, "types": weights_by_type(recipe, shape),
            "file_bytes": budget["fileBytes"], "kv_cache_bytes": budget["kvCacheMaxBytes"],
            "memory_bytes": budget["totalBytes"], "limit_bytes": budget["limitBytes"]}


def plan(bench, folder, shape, asked):
    """The shortest of the runs counts: a plan takes so little that others on the machine would be what is measured."""
    recipe = bench.work / "recipe.json"
    command = [bench.program, "plan", folder / "model", "--scores", folder / "gate_gradients.json", "--policy", "tiers",
               *asked, "-o", recipe, "--force", "--quiet", "-t", bench.options.threads]
    seconds = []
    for _ in range(bench.options.rounds):
        start = time.perf_counter()
        result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        seconds.append(time.perf_counter() - start)
    figures = {"asked": " ".join(map(str, asked)), "seconds": round(min(seconds), 3)}
    if result.returncode == 5:
        return figures | {"infeasible": re.sub(r"\s+", " ", result.stderr.strip())}
    if result.returncode != 0:
        sys.exit(f"bench: plan ended with {result.returncode}:\n{result.stderr}")
    return figures | described(json.loads(recipe.read_text()), shape)


def measured_plans(bench, name, asked):
    folder = shaped(bench, f"plan-{name}", "--shape", name)
    figures = [plan(bench, folder, SHAPES[name], options) for options in asked]
    remove(folder)
    for row in figures:
        say(f"{name}: {json.dumps(row)}")
    return figures


def recipe_for(bench, folder, type_name="Q3_K", gram=False):
    """One type for every matrix, three of eight KV groups gone. With Gram matrices error feedback only where the
    widest input is and where columns go, for it takes minutes for each layer."""
    recipe = bench.work / "recipe.json"
    bench.plasticity("plan", folder / "model", "--scores", folder / "gate_gradients.json", "--policy", "tiers",
                     "--prune", "kv-groups=3", "--target-size", "1000GB", "--tensor-type", f".*={type_name}", "-o",
                     recipe, "--force")
    if gram:
        document = json.loads(recipe.read_text())
        off = [{"pattern": f"*{matrix}_proj.weight", "quantType": type_name, "reason": "short", "errorFeedback": False}
               for matrix in ("q", "k", "v", "gate", "up")]
        document["tensorQuantMap"] = off + document["tensorQuantMap"]
        recipe.write_text(json.dumps(document))
    return recipe


def compress(bench, what, *options):
    """@returns figures of one compression, or nothing where the disk is too small for its output"""
    gram = "--gram" in options
    folder = shaped(bench, "inputs", "--shape", "llama-70b", *options)
    recipe = recipe_for(bench, folder, gram=gram)
    output = bench.work / "outputs"
    output.mkdir()
    command = [bench.program, "compress", folder / "model", "--recipe", recipe, "--stats", folder / "stats.gguf",
               "--no-tokenizer", "-o", output / "out.gguf", "--quiet", "-t", bench.options.threads]
    if gram:
        command += ["--gram", folder / "gram.gguf"]
    source = sum(file.stat().st_size for file in (folder / "model").iterdir())
    planned = json.loads(bench.run([*command, "--dry-run", "--json"]).stdout)
    figures = None
    if shutil.disk_usage(output).free - planned["file_bytes"] < FREE_BYTES:
        say(f"{what}: {planned['file_bytes']} bytes are too many for this disk; name fewer --layers")
    else:
        used = watch(command, output)
        assert (output / "out.gguf").stat().st_size == planned["file_bytes"]
        figures = {"what": what, "source_bytes": source, "file_bytes": planned["file_bytes"],
                   "seconds": round(used.seconds, 2), "cpu_seconds": round(used.cpu_seconds, 2),
                   "peak_resident_bytes": used.peak_resident_bytes, "narrowed_by_memory": planned["narrowed_by_memory"],
                   "left_out_by_memory": planned["left_out_by_memory"]}
        say(json.dumps(figures))
    for path in (output, folder):
        remove(path)
    return figures


def compressions(bench):
    layers = bench.options.layers
    wanted = [("1 layer, vocabulary 1,024", "--layers", 1, "--vocabulary", 1024),
              ("1 layer, vocabulary 128,256", "--layers", 1),
              (f"{layers} layers, vocabulary 128,256", "--layers", layers),
              ("1 layer without holes, vocabulary 1,024", "--layers", 1, "--vocabulary", 1024, "--dense")]
    if bench.options.gram:
        wanted.append(("1 layer, vocabulary 1,024, with Gram matrices", "--layers", 1, "--vocabulary", 1024, "--gram"))
    return [figures for row in wanted if (figures := compress(bench, *row))]


def main():
    parser = parser_for(__doc__)
    parser.add_argument("--layers", type=int, default=8, help="of the largest compression; the shape has 80")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each plan")
    parser.add_argument("--gram", action="store_true", help="compress with Gram matrices, too: minutes")
    options = parser.parse_args()
    with Workbench(options) as bench:
        figures = {"plans": {"llama-70b": measured_plans(bench, "llama-70b", PLANS_70B),
                             "qwen2.5-coder-32b": measured_plans(bench, "qwen2.5-coder-32b", PLANS_32B)}}
        bench.finish("large_shapes", figures | {"compress": compressions(bench)})


if __name__ == "__main__":
    main()
